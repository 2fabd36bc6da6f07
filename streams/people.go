package streams

import (
	"context"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// People looks many users up, as [Directory.Person] does, in their order.
func (d *Directory) People(ctx context.Context, users []schemas.UserID) ([]*Person, error) {
	people := make([]*Person, len(users))
	var rest []int
	d.mu.Lock()
	now := d.now()
	for i, u := range users {
		if s, ok := d.people[personPart{u, true}]; ok && !now.After(s.expires) && s.loaded() {
			people[i] = s.person
		} else {
			rest = append(rest, i)
		}
	}
	d.mu.Unlock()
	err := jsapi.Parallel(ctx, len(rest), func(ctx context.Context, k int) (err error) {
		people[rest[k]], err = d.Person(ctx, users[rest[k]])
		return err
	})
	return people, err
}

// loaded says whether the slot has a person now.
func (s *slot) loaded() bool {
	select {
	case <-s.ready:
		return s.err == nil
	default:
		return false
	}
}

// AppendInboxes appends the inboxes of a user: one for each device, or where there
// is none the unclaimed one.
func AppendInboxes(to []subject.Address, u schemas.UserID, p *Person) []subject.Address {
	if len(p.Devices) == 0 {
		return append(to, subject.Unclaimed(u))
	}
	for _, d := range p.Devices {
		to = append(to, subject.Address{User: u, Device: d.DeviceID})
	}
	return to
}

// Claimed are the inboxes of those users who have a device now. It asks past the
// cache.
func (d *Directory) Claimed(ctx context.Context, users []schemas.UserID) (to []subject.Address, err error) {
	for _, u := range users {
		d.forget(u)
	}
	people, err := d.People(ctx, users)
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
