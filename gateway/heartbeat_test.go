package gateway_test

import (
	"context"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roost/gateway"
	"roost/schemas"
	"roost/streams/streamstest"
)

// Heartbeats keep a connection, and WebSocket pings, though they are answered, do
// not. The server sends none.
func TestHeartbeatsCountAndPingsDoNot(t *testing.T) {
	const heartbeat = 200 * time.Millisecond
	h := newHouse(t, func(o *gateway.Options) { o.Heartbeat = heartbeat })
	ws, _, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", &websocket.DialOptions{
		OnPingReceived: func(context.Context, []byte) bool { t.Error("the server sends pings"); return true }})
	if err != nil {
		t.Fatal(err)
	}
	h.ws = append(h.ws, ws)
	beats, pings := &device{t: t, ws: ws}, h.connect("bob")
	beats.hello(&schemas.Hello{Token: h.token("alice"), DeviceName: "x"})
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
