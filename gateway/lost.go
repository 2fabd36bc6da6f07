package gateway

import (
	"context"
	"maps"
	"time"

	"roost/schemas"
	"roost/streams"
)

// Connections whose device was removed elsewhere. The gateway that removes it
// tells the device's live subject, which is fast and may be lost; the change of
// the record in DEVICES is not lost, and every gateway hears of it.

// change is what closeLost has to look at.
type change struct {
	revision uint64 // of the record
	tries    int    // that found a replica without it
}

// maxTries bounds the looks at a record that does not become newer: it was deleted.
const maxTries = 30

// hold notes which device a connection is of, once it hears of changes, and says
// if the device is no more. A change before this moment has taken the person out
// of the directory's cache, one after it finds the connection here.
func (s *Server) hold(ctx context.Context, c *conn, a streams.Address, d schemas.Device) error {
	now := schemas.Now()
	s.mu.Lock()
	if c.device, c.noted = a.Device, d.LastActive; stale(c.noted, now) {
		c.noted = now // the hello has just written it
	}
	s.mu.Unlock()
	person, err := s.directory.Person(ctx, a.User)
	if err != nil {
		return schemas.Unavailable(err)
	}
	if person.Lost(a.Device) {
		return notYours(person, a.Device)
	}
	return nil
}

// devicesChanged hears of every change of anybody's devices.
func (s *Server) devicesChanged(u schemas.UserID, revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byUser[u]) == 0 {
		return
	}
	s.changed[u] = change{revision: revision}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// closeLost closes the connections of removed devices.
func (s *Server) closeLost() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.wake:
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		s.mu.Lock()
		due := maps.Clone(s.changed)
		clear(s.changed)
		s.mu.Unlock()
		for u, c := range due {
			if s.closeLostOf(u, c.revision) || c.tries >= maxTries {
				continue
			}
			c.tries++
			s.mu.Lock()
			if s.changed[u].revision < c.revision {
				s.changed[u] = c
			}
			s.mu.Unlock()
		}
	}
}

// closeLostOf closes those of one user; false where it has to look again.
func (s *Server) closeLostOf(u schemas.UserID, revision uint64) bool {
	ctx, cancel := context.WithTimeout(s.ctx, lookupTimeout)
	defer cancel()
	person, err := s.directory.PersonAt(ctx, u, revision)
	if err != nil {
		s.log.Debug("a change of devices could not be read; it is tried again", "error", err)
		return false
	}
	s.mu.Lock()
	var lost []*conn
	for _, c := range s.byUser[u] {
		if person.Lost(c.device) {
			lost = append(lost, c)
		}
	}
	s.mu.Unlock()
	for _, c := range lost {
		c.close(schemas.CloseDeviceRemoved, "the device was removed")
	}
	return true
}
