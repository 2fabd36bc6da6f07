package gateway

import (
	"context"
	"time"

	"roost/schemas"
)

const (
	// activeEvery is how exact Device.LastActive is.
	activeEvery = 24 * time.Hour
	noteEvery   = time.Minute
)

// stale reports whether a device's last activity is to be recorded again.
func stale(recorded, now schemas.Timestamp) bool {
	return now.Time().Sub(recorded.Time()) > activeEvery
}

// noteActivity keeps the last activity of connected devices on record, so that a device that is
// connected for weeks does not count as idle.
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

// noteActive records the activity of the devices that are due, one after another. A device for
// which that fails is due again at the next turn.
func (s *Server) noteActive(ctx context.Context, now schemas.Timestamp) {
	due := s.conns.inactive(now)
	for _, c := range due {
		if err := s.noteOne(ctx, c, now); err != nil {
			if ctx.Err() == nil {
				s.log.Warn("the last activity of devices was not recorded; this is retried", "devices", len(due), "error", err)
			}
			return
		}
	}
}

func (s *Server) noteOne(ctx context.Context, c *conn, now schemas.Timestamp) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addr, device := s.conns.deviceOf(c)
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
	s.conns.recorded(c, now)
	return nil
}
