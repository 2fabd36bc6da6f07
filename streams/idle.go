package streams

import (
	"context"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// FinishRemovals completes the removals of a person's devices that were cut short: of
// those removed last it looks for who still has a session on record.
func (c *Conn) FinishRemovals(ctx context.Context, u schemas.UserID, record schemas.Devices) error {
	return jsapi.Parallel(ctx, len(record.Removed), func(ctx context.Context, i int) error {
		a := subject.Address{User: u, Device: record.Removed[i]}
		found, err := c.presence.Recorded(ctx, a)
		if err == nil && found {
			_, err = c.RemoveDevice(ctx, a)
		}
		return err
	})
}

// Deactivate removes a device that was last used before the time given, as
// [Conn.RemoveDevice] does; false where it was used since, or is connected. A
// device that comes back writes so into the same record, before it has a session:
// one of the two is first, and the other sees it.
func (c *Conn) Deactivate(ctx context.Context, a subject.Address, before schemas.Timestamp) (bool, error) {
	connected, last, err := c.presence.LastSeen(ctx, a)
	if err != nil || connected {
		return false, err
	}
	return c.removeDevice(ctx, a, directory.Removal{Seen: last, May: func(d schemas.Device) bool { return d.Idle(before) }})
}
