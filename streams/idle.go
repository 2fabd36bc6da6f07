package streams

import (
	"context"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// FinishRemovals completes the removals of a user's devices that were cut short. It
// checks the sessions on record of the devices removed last.
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
// [Conn.RemoveDevice] does. It returns false if the device was used since, or is
// connected. A device that reconnects writes that into the same record, before it has a
// session: one of the two writes is first, and the other writer sees it.
func (c *Conn) Deactivate(ctx context.Context, a subject.Address, before schemas.Timestamp) (bool, error) {
	connected, last, err := c.presence.LastSeen(ctx, a)
	if err != nil || connected {
		return false, err
	}
	return c.removeDevice(ctx, a, directory.Removal{Seen: last, May: func(d schemas.Device) bool { return d.Idle(before) }})
}
