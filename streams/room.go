package streams

import (
	"context"

	"roost/streams/publisher"
)

// maxReserved bounds the copies of large sends that are in flight together, to half of
// the queue of a writer. So many copies wait here, and none is refused for lack of room.
// The other half is for sends that make no reservation.
const maxReserved = publisher.MaxQueued / 2

// MaxCopies is how many copies one message may have: a group whose members have more
// devices is a channel.
const MaxCopies = maxReserved

// Reserve waits until there is room for n copies and returns a function that releases
// it, to be called after they have been answered. Reserve serves waiters in the order of
// their calls.
func (c *Conn) Reserve(ctx context.Context, n int) (release func(), err error) {
	room := int64(min(n, maxReserved))
	if err := c.room.Acquire(ctx, room); err != nil {
		return nil, err
	}
	return func() { c.room.Release(room) }, nil
}

// TryReserve is Reserve if there is room at once.
func (c *Conn) TryReserve(n int) (release func(), ok bool) {
	room := int64(min(n, maxReserved))
	if !c.room.TryAcquire(room) {
		return nil, false
	}
	return func() { c.room.Release(room) }, true
}
