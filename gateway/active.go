package gateway

import (
	"context"
	"time"

	"roost/schemas"
	"roost/streams/subject"
)

const (
	// activeEvery is how exact Device.LastActive is.
	activeEvery = 24 * time.Hour
	noteEvery   = time.Minute
)

// stale says whether a device's last activity is to be recorded anew.
func stale(recorded, now schemas.Timestamp) bool {
	return now.Time().Sub(recorded.Time()) > activeEvery
}

// noteActivity keeps the last activity of connected devices on record: a device
// that is connected for weeks is not one that nobody uses.
func (s *Server) noteActivity() {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.noteActive(s.ctx, schemas.Now())
		case <-s.ctx.Done():
			return
		}
	}
}

// noteActive records it for the devices that are due, one after another. What
// fails is due at the next turn.
func (s *Server) noteActive(ctx context.Context, now schemas.Timestamp) {
	s.mu.Lock()
	var due []*conn
	for c := range s.conns {
		if c.device != "" && stale(c.noted, now) {
			due = append(due, c)
		}
	}
	s.mu.Unlock()
	for _, c := range due {
		if err := s.noteOne(ctx, c, now); err != nil {
			if ctx.Err() == nil {
				s.log.Warn("the last activity of devices was not recorded; it is tried again", "devices", len(due), "error", err)
			}
			return
		}
	}
}

func (s *Server) noteOne(ctx context.Context, c *conn, now schemas.Timestamp) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	s.mu.Lock()
	addr, device := subject.Address{User: c.countedUser, Device: c.device}, c.registeredDevice()
	s.mu.Unlock()
	found, err := s.directory.ChangeDevice(ctx, addr, func(d *schemas.Device) { d.LastActive = max(d.LastActive, now) })
	if err != nil {
		return err
	}
	if !found {
		person, err := s.directory.Fresh(ctx, addr.User)
		if err != nil {
			return err
		}
		if person.RevokedSince(device) {
			c.closeRemoved()
		}
	}
	s.mu.Lock()
	c.noted = now
	s.mu.Unlock()
	return nil
}
