package gateway_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roost/gateway"
	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
)

// TestEndThatCouldNotBeRecorded: who went while their gateway had no NATS is offline once
// it has it again.
func TestEndThatCouldNotBeRecorded(t *testing.T) {
	port := streamstest.FreePort(t)
	nats := streamstest.Server(t, t.TempDir(), streamstest.OnPort(port))
	often := func(o *gateway.Options) { o.PresenceGrace, o.PresenceRecheck = time.Millisecond, 60*time.Millisecond }
	h := joinHouse(t, nats, often)
	network := streamstest.NewNetwork(t, port)
	there := moveIn(t, nats, streamstest.Connect(t, nats, streams.Topology{}, streamstest.ByURL(network.Address)))
	alice, bob := h.connect("alice"), there.connect("bob")
	if got := alice.lookAt("bob"); !got[0].Online {
		t.Fatalf("got %+v", got)
	}
	network.Cut()
	_ = bob.ws.CloseNow()
	eventually(t, "the connection is over", func() bool { return gauge(t, there, "roost_gateway_connections") == 0 })
	gone := schemas.Now()
	network.Mend()
	if f := alice.wantPresence("bob", false); f.LastActiveTime > gone {
		t.Errorf("last active at %d, and gone at %d", f.LastActiveTime, gone)
	}
}

// TestEndWithoutARecord: who went after the records of sessions were lost is shown as
// offline, though nothing can be written about it.
func TestEndWithoutARecord(t *testing.T) {
	h := newHouse(t, grace(time.Millisecond))
	alice, bob := h.connect("alice"), h.connect("bob")
	if got := alice.lookAt("bob"); !got[0].Online {
		t.Fatalf("got %+v", got)
	}
	withoutSessions(t, h)()
	_ = bob.ws.CloseNow()
	alice.wantPresence("bob", false)
}

// withoutSessions deletes the bucket of sessions, and restore makes it anew.
func withoutSessions(t *testing.T, h *house) (restore func()) {
	t.Helper()
	js := streamstest.JetStream(t, h.nats)
	s, err := js.Stream(h.ctx(), "KV_SESSIONS")
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(h.ctx(), "KV_SESSIONS"); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if _, err := js.CreateStream(h.ctx(), s.CachedInfo().Config); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHelloThatFailsLeavesNoDevice: who was not told of a device tries again without it,
// and is not refused for those that came to nothing; what waits is for who gets through.
func TestHelloThatFailsLeavesNoDevice(t *testing.T) {
	for _, devices := range []int{0, 1} {
		t.Run(fmt.Sprintf("%d devices before", devices), func(t *testing.T) {
			h := newHouse(t)
			bob := h.connect("bob")
			token := h.token("alice")
			for range devices {
				h.connect("alice")
			}
			bob.tell("alice", "waits")
			restore := withoutSessions(t, h)
			for range 4 {
				d := h.dial()
				d.send(&schemas.Hello{Token: token, DeviceName: "new"})
				d.wantError(schemas.CodeUnavailable)
				d.wantClose(schemas.CloseRestarting)
			}
			restore()
			if got := person(t, h, "alice").Devices; len(got) != devices {
				t.Errorf("%d devices are registered, want %d", len(got), devices)
			}
			if got := len(h.connect("alice").backlog()); got != 1-devices {
				t.Errorf("the next device got %d messages", got)
			}
		})
	}
}

// TestHelloWhileDraining: a second device that is registered while the gateway says goodbye
// is told to its client, or is not there.
func TestHelloWhileDraining(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h := joinHouse(t, nats)
	for round := range 20 {
		there := joinHouse(t, nats)
		u := schemas.UserID(fmt.Sprint("alice", round))
		h.connect(u)
		token, d := h.token(u), there.dial()
		d.send(&schemas.Hello{Token: token, DeviceName: "new"})
		time.Sleep(time.Duration(round) * 200 * time.Microsecond) // into the hello, or behind it
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			there.server.Drain(there.ctx())
		}()
		told := 0
		for {
			f, err := d.read()
			if err != nil {
				break
			}
			if _, ok := f.(*schemas.Welcome); ok {
				told++
			}
		}
		<-drained
		if got := person(t, h, u).Devices; len(got) != 1+told {
			t.Errorf("%d devices are registered besides the first, and the client was told of %d", len(got)-1, told)
		}
	}
}

// TestRemovedDevicesLeaveNothing: of who registers and removes devices all day nothing
// stays in memory.
func TestRemovedDevicesLeaveNothing(t *testing.T) {
	h := newHouse(t)
	for range 20 {
		alice := h.connect("alice")
		if status, _ := h.call("alice", http.MethodDelete, "/devices/"+string(alice.welcome.DeviceID), ""); status != http.StatusOK {
			t.Fatal(status)
		}
		alice.wantClose(schemas.CloseDeviceRemoved)
	}
	eventually(t, "all connections are over", func() bool { return gauge(t, h, "roost_gateway_connections") == 0 })
	s, err := streamstest.JetStream(t, h.nats).Stream(h.ctx(), "KV_SESSIONS")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n > 0 {
		t.Errorf("%d records of sessions are left", n)
	}
}

// TestHelloIsCorrectedInTheTimeLeft: who says a wrong hello again and again is not heard
// for ever.
func TestHelloIsCorrectedInTheTimeLeft(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.HelloTimeout, o.MaxDevices = 500*time.Millisecond, 1 })
	h.connect("alice")
	d, hello := h.dial(), schemas.EncodeFrame(&schemas.Hello{Token: h.token("alice"), DeviceName: "second"})
	for range 20 {
		_ = d.ws.Write(h.ctx(), websocket.MessageText, hello) // the server may have closed
		if _, err := d.read(); err != nil {
			if got := websocket.CloseStatus(err); got != websocket.StatusCode(schemas.CloseHelloTimeout) {
				t.Errorf("closed with %v", err)
			}
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Error("the connection is still open")
}
