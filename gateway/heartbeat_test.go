package gateway_test

import (
	"context"
	"testing"
	"time"

	"roost/gateway"
	"roost/schemas"
	"roost/streams/streamstest"
)

// Heartbeats keep a connection, and WebSocket pings, though they are answered, do
// not.
func TestHeartbeatsCountAndPingsDoNot(t *testing.T) {
	const heartbeat = 200 * time.Millisecond
	h := newHouse(t, func(o *gateway.Options) { o.Heartbeat = heartbeat })
	beats, pings := h.connect("alice"), h.connect("bob")
	ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
	defer cancel()
	answered := make(chan int, 1)
	go func() {
		n := 0
		for pings.ws.Ping(ctx) == nil {
			n++
			time.Sleep(heartbeat / 10)
		}
		answered <- n
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		pings.wantClose(schemas.CloseSlow)
	}()
	tick := time.NewTicker(heartbeat / 4)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-tick.C:
			beats.send(&schemas.Heartbeat{})
		case <-ended:
			over = true
		case <-ctx.Done():
			t.Fatal("pings keep a connection")
		}
	}
	if n := <-answered; n < 3 {
		t.Errorf("%d pings were answered", n)
	}
	beats.roundTrip()
	if len(beats.seen) != 1 { // inbox_drained
		t.Errorf("a heartbeat is answered: %+v", beats.seen)
	}
}
