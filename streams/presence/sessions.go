package presence

import (
	"context"
	"fmt"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// endedSession is the record that this process wrote at the end of a session. If the device
// connects here again, Begin needs no read: its compare-and-set fails if another process has
// changed the record.
type endedSession struct {
	record   schemas.Session
	revision uint64
}

// maxEnded bounds the remembered sessions; one more evicts any other.
const maxEnded = 100_000

// Begin records the session of a device that connected, in place of the session before it. It
// returns the earlier record, and the revision that End needs.
//
// A session without an id gets an id larger than that of the earlier session, whatever the
// clocks of the gateways say. So all processes agree which of two connections of a device is
// newer, and the record is that of the newer one. If there was an earlier record, Begin sets
// s.ReceiptsFrom by it.
func (p *Presence) Begin(ctx context.Context, a subject.Address, s *schemas.Session) (before schemas.Session, revision uint64, err error) {
	key, named := subject.DeviceKey(a), s.SessionID != ""
	for range jsapi.Attempts {
		before, known, ok, err := p.before(ctx, key)
		if err != nil {
			return before, 0, err
		}
		if before.ConnectedAt > 0 {
			s.ReceiptsFrom = before.MissedFrom()
		}
		if !named {
			p.clock.Observe(schemas.MessageID(before.SessionID))
			s.SessionID = schemas.SessionID(p.clock.NextULID())
		}
		if ok {
			revision, err = p.sessions.Update(ctx, key, schemas.Encode(*s), known)
		} else {
			revision, err = p.sessions.Create(ctx, key, schemas.Encode(*s))
		}
		if err == nil {
			return before, revision, nil
		}
		if !jsapi.IsConflict(err) {
			return before, 0, fmt.Errorf("failed to record the session: %w", err)
		}
	}
	return before, 0, fmt.Errorf("failed to record the session: %w", jsapi.ErrContended)
}

// before returns the record that a new session replaces: the remembered one, once, or else
// the stored one.
func (p *Presence) before(ctx context.Context, key string) (s schemas.Session, revision uint64, ok bool, err error) {
	p.mu.Lock()
	e, ok := p.ended[key]
	delete(p.ended, key)
	p.mu.Unlock()
	if ok {
		return e.record, e.revision, true, nil
	}
	return jsapi.Get[schemas.Session](ctx, p.sessions, key)
}

func (p *Presence) remember(key string, e endedSession) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ended) >= maxEnded {
		for other := range p.ended { // any one: map order is random
			delete(p.ended, other)
			break
		}
	}
	p.ended[key] = e
}

// End records that a session ended, now or at s.EndedAt. It returns false, and records
// nothing, if the device has a newer session. It returns true if there is no record any more.
func (p *Presence) End(ctx context.Context, a subject.Address, s schemas.Session, revision uint64) (bool, error) {
	if s.Gateway = ""; s.EndedAt == 0 {
		s.EndedAt = schemas.Now()
	}
	key := subject.DeviceKey(a)
	last, err := p.sessions.Update(ctx, key, schemas.Encode(s), revision)
	if jsapi.IsConflict(err) {
		now, known, ok, unread := jsapi.Get[schemas.Session](ctx, p.sessions, key)
		if unread != nil {
			return false, unread
		}
		if !ok || now.SessionID >= s.SessionID {
			return !ok, nil
		}
		// NATS lost the begin of this session, and an older session is on record.
		last, err = p.sessions.Update(ctx, key, schemas.Encode(s), known)
	}
	if err != nil {
		return false, fmt.Errorf("failed to record the end of the session: %w", err)
	}
	p.remember(key, endedSession{s, last})
	return true, nil
}

// EndLate is End for a session whose begin or end had no answer, so that the caller does not
// know its revision. It may be repeated.
func (p *Presence) EndLate(ctx context.Context, a subject.Address, s schemas.Session) (bool, error) {
	now, revision, ok, err := jsapi.Get[schemas.Session](ctx, p.sessions, subject.DeviceKey(a))
	if err != nil || ok && now.SessionID != s.SessionID {
		return false, err
	}
	if !ok || now.Gateway == "" {
		return true, nil
	}
	return p.End(ctx, a, s, revision)
}

// Sessions returns the newest sessions of devices, in the order of the devices. The session
// of a device without a record is empty.
func (p *Presence) Sessions(ctx context.Context, devices []subject.Address) ([]schemas.Session, error) {
	all, at := make([]schemas.Session, len(devices)), make(map[string]int, len(devices))
	subjects := make([]string, len(devices))
	for i, a := range devices {
		subjects[i] = subject.Sessions.Subject(subject.DeviceKey(a))
		at[subjects[i]] = i
	}
	newest, err := p.api.Lasts(ctx, subject.Sessions.Stream(), subjects)
	if err != nil {
		return nil, err
	}
	for _, m := range newest {
		if len(m.Data) == 0 { // the mark of a deleted key
			continue
		}
		s, err := schemas.Decode[schemas.Session](m.Data)
		if err != nil {
			return nil, fmt.Errorf("failed to read %s: %w", m.Subject, err)
		}
		all[at[m.Subject]] = s
	}
	return all, nil
}

// Recorded says whether a device has a session record.
func (p *Presence) Recorded(ctx context.Context, a subject.Address) (bool, error) {
	_, _, found, err := jsapi.Get[schemas.Session](ctx, p.sessions, subject.DeviceKey(a))
	return found, err
}

// Delete deletes the session record of a removed device, and leaves no mark in the bucket:
// there may be any number of such devices.
func (p *Presence) Delete(ctx context.Context, a subject.Address) error {
	key := subject.DeviceKey(a)
	p.mu.Lock()
	delete(p.ended, key)
	p.mu.Unlock()
	if err := p.api.Purge(ctx, subject.Sessions.Stream(), subject.Sessions.Subject(key)); err != nil {
		return fmt.Errorf("failed to delete the session record: %w", err)
	}
	return nil
}
