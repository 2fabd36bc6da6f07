package gateway

import (
	"time"

	"roost/schemas"
)

const (
	sweepEvery = time.Second
	// silentAfter is for how many heartbeats a connection may be silent. A page in a hidden
	// tab has a timer once a minute, which is twice the default heartbeat.
	silentAfter = 3
	// pingsAfter is after how many half heartbeats of silence a connection is pinged first,
	// pingsBetween how many half heartbeats are between two pings.
	pingsAfter, pingsBetween = 3, 1
)

// sweep closes connections that have been silent for three heartbeats, and returns memory to
// the operating system after a wave of work.
func (s *Server) sweep() {
	var wave wave
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.tend(now)
			if wave.over(allocated()) {
				giveBack()
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// tend pings the connections that have been silent for a while, and closes those that have been
// silent for too long.
func (s *Server) tend(now time.Time) {
	quiet, silent := s.conns.silent(now, s.opts.Heartbeat)
	for _, c := range quiet {
		c.ping()
	}
	for _, c := range silent {
		c.close(schemas.CloseSlow, "the client was silent for three heartbeats")
	}
}
