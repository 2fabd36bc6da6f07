package directory

import (
	"context"
	"strings"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Users looks many users up, as [Directory.User] does, in their order.
func (d *Directory) Users(ctx context.Context, users []schemas.UserID) ([]*User, error) {
	people := make([]*User, len(users))
	var rest []int
	d.mu.Lock()
	now := d.now()
	for i, u := range users {
		if s, ok := d.users[userPart{u, true}]; ok && !now.After(s.expires) && s.loaded() {
			people[i] = s.user
		} else {
			rest = append(rest, i)
		}
	}
	d.mu.Unlock()
	err := jsapi.Parallel(ctx, len(rest), func(ctx context.Context, k int) (err error) {
		people[rest[k]], err = d.User(ctx, users[rest[k]])
		return err
	})
	return people, err
}

// loaded reports whether the slot has a user now.
func (s *slot) loaded() bool {
	select {
	case <-s.ready:
		return s.err == nil
	default:
		return false
	}
}

// AppendInboxes appends the inboxes of a user: one for each device, or the unclaimed
// inbox if there is no device.
func AppendInboxes(to []subject.Address, u schemas.UserID, p *User) []subject.Address {
	if len(p.Devices) == 0 {
		return append(to, subject.Unclaimed(u))
	}
	for _, d := range p.Devices {
		to = append(to, subject.Address{User: u, Device: d.DeviceID})
	}
	return to
}

// Claimed returns the inboxes of those users who have a device now. It does not use the
// cache.
func (d *Directory) Claimed(ctx context.Context, users []schemas.UserID) (to []subject.Address, err error) {
	for _, u := range users {
		d.Forget(u)
	}
	people, err := d.Users(ctx, users)
	if err != nil {
		return nil, err
	}
	for i, p := range people {
		if len(p.Devices) > 0 {
			to = AppendInboxes(to, users[i], p)
		}
	}
	return to, nil
}

// maxUsers is how many users [Directory.Each] reads at a time.
const maxUsers = 256

// Each calls do with the record of devices of every user, in no order, until one call
// fails. It may call do twice for a user who changes meanwhile.
func (d *Directory) Each(ctx context.Context, do func(schemas.UserID, schemas.Devices) error) error {
	prefix := subject.Devices.Subject("")
	for m, err := range d.api.Messages(ctx, subject.Devices.Stream(), prefix+">", 0, maxUsers) {
		if err != nil {
			return err
		}
		u, err := schemas.ParseUserToken(strings.TrimPrefix(m.Subject, prefix))
		if err != nil {
			continue
		}
		record, err := schemas.Decode[schemas.Devices](m.Data)
		if err != nil {
			d.log.Warn("a record of devices cannot be read", "subject", m.Subject, "error", err)
			continue
		}
		if err := do(u, record); err != nil {
			return err
		}
	}
	return ctx.Err()
}
