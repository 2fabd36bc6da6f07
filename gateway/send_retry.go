package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"roost/schemas"
	"roost/streams/channel"
	"roost/streams/sendlog"
	"roost/streams/subject"
)

// retry answers a number that may be on record. For the same content the answer is the first
// message id, after the missing copies were committed.
func (s *sender) retry(ctx context.Context, p *pendingSend, t targets) {
	rec, found, err := s.server.streams.SendLog().Find(ctx, s.addr, p.message.MessageIDByClient)
	switch {
	case errors.Is(err, sendlog.ErrForgotten):
		s.refuse(p, schemas.Errorf(schemas.CodeConflict,
			"message_id_by_client: is older than the last %d sends of this device. Use the next number.", schemas.MaxOutstanding))
		return
	case err != nil:
		s.refuse(p, err)
		return
	case !found:
		// Another connection of this device, replaced since, may have gone further.
		s.mu.Lock()
		s.newest = max(s.newest, rec.Highest)
		s.mu.Unlock()
		s.recordSend(p, t)
		return
	case rec.ContentHash != p.hash:
		s.refuse(p, conflict())
		return
	}
	s.server.metrics.retries.Inc()
	if s.server.accepted.has(s.addr, rec.MessageIDByClient) {
		p.applyRecord(rec)
		s.accept(p, p.message)
		return
	}
	t = t.sentBy(s.addr.User, rec.MessageID)
	if rec.BlockedBy != "" { // perhaps unblocked meanwhile
		t.withhold(rec.BlockedBy)
	}
	if t.channel {
		s.retryChannel(ctx, p, rec, t)
		return
	}
	if t.to, err = s.missing(ctx, rec.MessageID, t); err != nil {
		s.refuse(p, err)
		return
	}
	s.commit(p, rec, t)
}

// missing returns the targets whose inbox does not hold the message now.
func (s *sender) missing(ctx context.Context, id schemas.MessageID, t targets) ([]subject.Address, error) {
	if t.group != nil { // many, perhaps
		return s.server.streams.Missing(ctx, id, id.Time().Time(), t.to)
	}
	missing := make([]subject.Address, 0, len(t.to))
	for _, a := range t.to {
		held, err := s.server.streams.Holds(ctx, a, id)
		if err != nil {
			return nil, err
		}
		if !held {
			missing = append(missing, a)
		}
	}
	return missing, nil
}

// sentBy removes the members who joined the group, and the devices that were registered, after
// the message of that id: a retry is later than its send. The oldest device of a receiver stays,
// because the message may wait for their first device.
func (t targets) sentBy(sender schemas.UserID, id schemas.MessageID) targets {
	var before schemas.UserID
	t.to = slices.DeleteFunc(t.to, func(a subject.Address) bool {
		oldest := a.User != before && a.User != sender
		before = a.User
		return schemas.MessageID(a.Device) > id && !oldest
	})
	if t.group == nil {
		return t
	}
	late := make(map[schemas.UserID]bool)
	for _, m := range t.group.Members {
		if m.Since > id {
			late[m.UserID] = true
		}
	}
	if len(late) > 0 {
		t.to = slices.DeleteFunc(t.to, func(a subject.Address) bool { return late[a.User] })
		t.unclaimed = slices.DeleteFunc(t.unclaimed, func(u schemas.UserID) bool { return late[u] })
	}
	return t
}

// retryChannel commits a message that is on record to its channel, unless the channel has it.
func (s *sender) retryChannel(ctx context.Context, p *pendingSend, rec schemas.SendRecord, t targets) {
	m := p.message
	if p.applyRecord(rec) {
		s.accept(p, m)
		return
	}
	send := channel.Send{Message: m}
	age := time.Since(m.Timestamp.Time())
	send.Late = !m.IsUpdate() && age > s.server.opts.ChannelSlack/2
	if age > s.server.streams.DuplicateWindow()/2 { // the stream may have forgotten the id
		var err error
		var deleted bool
		if send.Stored, err = s.server.streams.Channels().Holds(ctx, m); err == nil && send.Stored == 0 {
			deleted, err = s.deletedMeanwhile(ctx, m)
		}
		switch {
		case err != nil:
			s.refuse(p, err)
			return
		case deleted:
			s.accept(p, m)
			return
		}
	}
	s.commitChannel(p, send, t)
}

// deletedMeanwhile reports whether a message that is not in its channel was deleted for everyone,
// or for an update, whether its target was.
func (s *sender) deletedMeanwhile(ctx context.Context, m *schemas.Message) (bool, error) {
	of := m.MessageID
	switch {
	case m.Change == schemas.ChangeDelete:
		return false, nil
	case m.IsUpdate():
		of = m.TargetMessageID
	}
	return s.server.streams.Channels().Deleted(ctx, m.GroupID, of)
}
