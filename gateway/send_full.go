package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// Full inboxes: an unused device must not keep others from sending.

// fullInboxes collects the inboxes that have no room for a message.
type fullInboxes struct {
	mu  sync.Mutex
	all []subject.Address
}

func (f *fullInboxes) add(a subject.Address) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, a)
}

// commitWithoutFull commits a message again without the full inboxes that no device empties. If
// another inbox is full, it refuses the message. It removes a device that was not used for long.
// A user without a device keeps the first messages of a group.
func (s *sender) commitWithoutFull(ctx context.Context, p *pendingSend, rec schemas.SendRecord, t targets, full []subject.Address) {
	t.withoutFull = true
	t.to = slices.DeleteFunc(t.to, func(a subject.Address) bool { return slices.Contains(full, a) })
	for _, a := range full {
		if a == subject.Unclaimed(a.User) && p.message.GroupID != "" {
			s.server.metrics.copiesSkipped.Inc()
			continue
		}
		person, err := s.removeForgotten(ctx, a)
		if err != nil {
			s.refuse(p, err)
			return
		}
		if len(person.Devices) == 0 && !slices.Contains(t.unclaimed, a.User) { // it was the last device: the next one gets this message
			t.unclaimed, t.to = append(t.unclaimed, a.User), directory.AppendInboxes(t.to, a.User, person)
		}
	}
	s.commit(p, rec, t)
}

// removeForgotten removes a device whose inbox is full and that was not used for long, or
// fails with [publisher.ErrInboxFull]. It returns whose device it was, as they are now.
func (s *sender) removeForgotten(ctx context.Context, a subject.Address) (*directory.User, error) {
	idle := s.server.opts.FullInboxIdle
	if idle <= 0 || a == subject.Unclaimed(a.User) {
		return nil, publisher.ErrInboxFull
	}
	gone, err := s.server.streams.Deactivate(ctx, a, schemas.TimestampOf(time.Now().Add(-idle)))
	if err != nil {
		return nil, err
	}
	if gone {
		s.server.metrics.deactivated.Inc()
	}
	person, err := s.server.directory.Fresh(ctx, a.User)
	if err == nil && !gone && !person.Revoked(a.Device) { // nor by another send
		err = publisher.ErrInboxFull
	}
	return person, err
}
