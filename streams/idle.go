package streams

import (
	"context"
	"strings"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// maxPeople is how many people [Conn.EachPerson] reads at a time.
const maxPeople = 256

// EachPerson calls do with the record of devices of everybody there is, in no
// order, until one fails. Who changes meanwhile may come twice.
func (c *Conn) EachPerson(ctx context.Context, do func(schemas.UserID, schemas.Devices) error) error {
	prefix := subject.Devices.Subject("")
	for m, err := range c.api.Messages(ctx, subject.Devices.Stream(), prefix+">", 0, maxPeople) {
		if err != nil {
			return err
		}
		u, err := schemas.ParseUserToken(strings.TrimPrefix(m.Subject, prefix))
		if err != nil {
			continue
		}
		record, err := schemas.Decode[schemas.Devices](m.Data)
		if err != nil {
			c.log.Warn("a record of devices cannot be read", "subject", m.Subject, "error", err)
			continue
		}
		if err := do(u, record); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// FinishRemovals completes the removals of a person's devices that were cut short: of
// those removed last it looks for who still has a session on record.
func (c *Conn) FinishRemovals(ctx context.Context, u schemas.UserID, record schemas.Devices) error {
	return jsapi.Parallel(ctx, len(record.Removed), func(ctx context.Context, i int) error {
		a := subject.Address{User: u, Device: record.Removed[i]}
		_, _, found, err := jsapi.Get[schemas.Session](ctx, c.presence.sessions, subject.DeviceKey(a))
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
	connected, last, err := c.presence.seen(ctx, a)
	if err != nil || connected {
		return false, err
	}
	return c.removeDevice(ctx, a, removal{seen: last, may: func(d schemas.Device) bool { return d.Idle(before) }})
}
