package gateway

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"roost/schemas"
)

const (
	// drainWithin is within what time clients shall reconnect.
	drainWithin = 2 * time.Second
)

// Drain ends the gateway: it accepts nothing more, tells clients to reconnect, lets sends
// finish, closes every connection with 1012 and waits for all, as long as ctx allows. Entries
// without an acknowledgement stay in the inboxes. The owner of the listener closes it before.
func (s *Server) Drain(ctx context.Context) {
	all := s.conns.drain()
	impatient := context.AfterFunc(ctx, func() {
		for _, c := range all {
			c.stopWriting(ctx.Err())
		}
	})
	defer impatient()
	s.sendAway(ctx, all, "the server restarts")
	if s.cancel != nil {
		s.cancel()
	}
	s.wg.Wait()
	if s.endRest != nil { // the lease lasts until the end of every session is on record, so that no user looks offline before
		s.endRest()
	}
	s.rest.Wait()
	if s.stopErasures != nil {
		s.stopErasures()
	}
	if s.consumers != nil {
		s.consumers.Close()
	}
}

// sendAway asks clients to reconnect soon, and closes their connections when their sends are
// answered, or when ctx ends.
func (s *Server) sendAway(ctx context.Context, all []*conn, reason string) {
	for _, c := range all {
		c.sendFrame(&schemas.Reconnect{AfterMS: rand.N(drainWithin).Milliseconds()})
	}
	var ending sync.WaitGroup
	for _, c := range all {
		ending.Go(func() {
			c.finishSends(ctx)
			c.close(schemas.CloseRestarting, reason)
		})
	}
	ending.Wait()
}
