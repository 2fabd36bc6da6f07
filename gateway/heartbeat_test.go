package gateway_test

import (
	"context"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roost/gateway"
	"roost/schemas"
)

// A heartbeat is answered with one, so that a page notices a dead connection.
func TestHeartbeatIsAnswered(t *testing.T) {
	h := newHouse(t)
	d := h.connect("alice")
	want[*schemas.InboxDrained](d)
	for _, beat := range []string{`{"type":"heartbeat"}`, `{"type": "heartbeat", "x": 1}`, `{"action":"heartbeat"}`} {
		d.raw(websocket.MessageText, []byte(beat))
		want[*schemas.Alive](d)
	}
}

// listen reads until the connection ends, and sends why.
func listen(ws *websocket.Conn) <-chan error {
	ended := make(chan error, 1)
	go func() {
		for {
			if _, _, err := ws.Read(context.Background()); err != nil {
				ended <- err
				return
			}
		}
	}()
	return ended
}

// A connection that answers the server's pings lives, as one that sends any frame does.
// One of which nothing is heard is closed.
func TestSignsOfLife(t *testing.T) {
	const heartbeat = 500 * time.Millisecond
	h := newHouse(t, func(o *gateway.Options) { o.Heartbeat = heartbeat })
	open := func(u schemas.UserID, pong bool) (*websocket.Conn, <-chan error) {
		ws, _, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", &websocket.DialOptions{
			OnPingReceived: func(context.Context, []byte) bool { return pong }})
		if err != nil {
			t.Fatal(err)
		}
		h.ws = append(h.ws, ws)
		d := &device{t: t, ws: ws}
		d.hello(&schemas.Hello{Token: h.token(u), DeviceName: "x"})
		return ws, listen(ws)
	}
	_, hidden := open("hidden", true) // a page whose timers do not run
	_, dead := open("dead", false)
	pings, pinging := open("pings", false)
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case err := <-dead:
			if websocket.CloseStatus(err) != websocket.StatusCode(schemas.CloseSlow) {
				t.Errorf("the silent one ended with %v", err)
			}
			over = true
		case err := <-hidden:
			t.Fatalf("the one that answers pings ended: %v", err)
		case err := <-pinging:
			t.Fatalf("the one that pings ended: %v", err)
		case <-tick.C:
			if err := pings.Ping(h.ctx()); err != nil {
				t.Fatal(err)
			}
		}
	}
	over := time.After(4 * heartbeat) // both live on for longer than a silent one
	for {
		select {
		case err := <-hidden:
			t.Fatalf("the one that answers pings ended: %v", err)
		case err := <-pinging:
			t.Fatalf("the one that pings ended: %v", err)
		case <-tick.C:
			if err := pings.Ping(h.ctx()); err != nil {
				t.Fatal(err)
			}
		case <-over:
			return
		}
	}
}
