package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roost/gateway"
	"roost/schemas"
	"roost/streams/directory"
)

// TestBadFrames sends each of them to a connection that lives on.
func TestBadFrames(t *testing.T) {
	h := newHouse(t)
	h.connect("bob")
	d := h.connect("alice")
	send := func(fields string) string {
		return `{"type":"send_message","receiver_id":"bob","timestamp":1,"message_id_by_client":5,` + fields + `}`
	}
	for _, c := range []struct {
		name, frame string
		code        schemas.Code
		field       string // that the message names
		number      schemas.ClientMessageID
	}{
		{"not JSON", `hello`, schemas.CodeBadFrame, "", 0},
		{"not an object", `[1]`, schemas.CodeBadFrame, "", 0},
		{"cut off", `{"type":"ack"`, schemas.CodeBadFrame, "", 0},
		{"no type", `{"content":"x"}`, schemas.CodeInvalidArgument, "type", 0},
		{"unknown type", `{"type":"sing"}`, schemas.CodeUnknownType, "type", 0},
		{"unknown action", `{"action":"sing"}`, schemas.CodeUnknownType, "type", 0},
		{"missing content", send(`"x":1`), schemas.CodeInvalidArgument, "content", 5},
		{"empty content", send(`"content":""`), schemas.CodeInvalidArgument, "content", 5},
		{"1,001 characters", send(`"content":"` + strings.Repeat("é", 1001) + `"`), schemas.CodeContentTooLong, "content", 5},
		{"content of a wrong type", send(`"content":7`), schemas.CodeInvalidArgument, "content", 5},
		{"no number", `{"type":"send_message","receiver_id":"bob","timestamp":1,"content":"x"}`, schemas.CodeInvalidArgument, "message_id_by_client", 0},
		{"number of a wrong type", `{"type":"send_message","receiver_id":"bob","timestamp":1,"content":"x","message_id_by_client":"1"}`, schemas.CodeInvalidArgument, "message_id_by_client", 0},
		{"no receiver", `{"type":"send_message","timestamp":1,"content":"x","message_id_by_client":5}`, schemas.CodeInvalidArgument, "receiver_id", 5},
		{"negative timestamp", `{"type":"send_message","receiver_id":"bob","content":"x","message_id_by_client":5,"timestamp":-1}`, schemas.CodeInvalidArgument, "timestamp", 5},
		{"foreign cursor", `{"type":"ack","cursor":"nonsense"}`, schemas.CodeInvalidArgument, "cursor", 0},
		{"bad message id", `{"type":"message_delivered","message_id":"x","timestamp":1}`, schemas.CodeInvalidArgument, "message_id", 0},
		{"second hello", `{"type":"hello","device_name":"x"}`, schemas.CodeBadFrame, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.t = t
			d.raw(websocket.MessageText, []byte(c.frame))
			e := d.wantError(c.code)
			if c.field != "" && !strings.Contains(e.Message, c.field) {
				t.Errorf("the message %q does not name %s", e.Message, c.field)
			}
			if e.MessageIDByClient != c.number {
				t.Errorf("the error is about number %d, want %d", e.MessageIDByClient, c.number)
			}
		})
	}
	d.t = t
	d.raw(websocket.MessageBinary, []byte(`{"type":"heartbeat"}`))
	d.wantError(schemas.CodeBadFrame)
	d.tell("bob", strings.Repeat("é", 1000)) // the socket lives
}

func TestFrameTooBig(t *testing.T) {
	h := newHouse(t)
	d := h.connect("alice")
	d.raw(websocket.MessageText, []byte(`{"type":"heartbeat","x":"`+strings.Repeat("x", 17<<10)+`"}`))
	d.wantClose(schemas.CloseFrameTooBig)
}

func TestActionIsAcceptedForType(t *testing.T) {
	h := newHouse(t)
	bob, alice := h.connect("bob"), h.connect("alice")
	alice.raw(websocket.MessageText, []byte(`{"action":"send_message","receiver_id":"bob","content":"old client","message_id_by_client":1}`))
	want[*schemas.MessageReceived](alice)
	if m := bob.take(); m.Content != "old client" {
		t.Errorf("got %+v", m)
	}
}

func TestHello(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.HelloTimeout = 50 * time.Millisecond })
	alice := h.connect("alice")
	t.Run("welcome", func(t *testing.T) {
		w := alice.welcome
		if w.UserID != "alice" || w.SessionID == "" || w.MaxInFlight != 256 || w.MaxOutstandingSends != 64 ||
			w.HeartbeatMS != 30_000 || w.ServerTime == 0 || w.LastMessageIDByClient != 0 {
			t.Errorf("got %+v", w)
		}
		if _, err := schemas.ParseDeviceID(string(w.DeviceID)); err != nil {
			t.Error(err)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		d := h.dial()
		d.t = t
		d.wantClose(schemas.CloseHelloTimeout)
	})
}

func TestHelloRefused(t *testing.T) {
	h := newHouse(t)
	bob := h.connect("bob")
	removed := h.connect("alice").welcome.DeviceID
	if status, _ := h.call("alice", "DELETE", "/devices/"+string(removed), ""); status != http.StatusOK {
		t.Fatalf("removing the device answered %d", status)
	}
	for _, c := range []struct {
		name  string
		hello schemas.Hello
		code  schemas.Code
		close schemas.CloseCode
	}{
		{"no token", schemas.Hello{DeviceName: "x"}, schemas.CodeUnauthenticated, schemas.CloseUnauthenticated},
		{"wrong token", schemas.Hello{Token: "nonsense", DeviceName: "x"}, schemas.CodeUnauthenticated, schemas.CloseUnauthenticated},
		{"device of another user", schemas.Hello{Token: h.token("alice"), DeviceID: bob.welcome.DeviceID}, schemas.CodeForbidden, schemas.CloseForbidden},
		{"removed device", schemas.Hello{Token: h.token("alice"), DeviceID: removed}, schemas.CodeDeviceRemoved, schemas.CloseDeviceRemoved},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := h.dial()
			d.t = t
			d.send(&c.hello)
			d.wantError(c.code)
			d.wantClose(c.close)
		})
	}
	t.Run("another frame first", func(t *testing.T) {
		d := h.dial()
		d.t = t
		d.send(message("bob", "x", 1))
		d.wantError(schemas.CodeBadFrame)
		d.wantClose(schemas.CloseProtocolError)
	})
	for name, first := range map[string]struct {
		kind websocket.MessageType
		data string
		code schemas.Code
	}{
		"a send with a wrong field": {websocket.MessageText, `{"type":"send_message"}`, schemas.CodeInvalidArgument},
		"an unknown type":           {websocket.MessageText, `{"type":"foo"}`, schemas.CodeUnknownType},
		"no type":                   {websocket.MessageText, `{}`, schemas.CodeInvalidArgument},
		"no JSON":                   {websocket.MessageText, `hello`, schemas.CodeBadFrame},
		"no object":                 {websocket.MessageText, `["hello"]`, schemas.CodeBadFrame},
		"a binary frame":            {websocket.MessageBinary, `{"type":"hello"}`, schemas.CodeBadFrame},
	} {
		t.Run(name, func(t *testing.T) {
			d := h.dial()
			d.t = t
			d.raw(first.kind, []byte(first.data))
			d.wantError(first.code)
			d.wantClose(schemas.CloseProtocolError)
		})
	}
	t.Run("bad fields leave another try", func(t *testing.T) {
		d := h.dial()
		d.t = t
		for _, bad := range []string{`{"type":"hello","token":5}`, `{"type":"hello","token":"\ud800"}`, `{"type":"hello","device_id":"a","device_id":"b"}`,
			`{"action":"hello","type":"heartbeat"}`} {
			d.raw(websocket.MessageText, []byte(bad))
			d.wantError(schemas.CodeInvalidArgument)
		}
		d.send(&schemas.Hello{Token: h.token("alice")})
		d.wantError(schemas.CodeInvalidArgument)
		d.send(&schemas.Hello{Token: h.token("alice"), DeviceName: "x", ResumeAfter: "nonsense"})
		d.wantError(schemas.CodeInvalidArgument)
		d.hello(&schemas.Hello{Token: h.token("alice"), DeviceName: "x"})
	})
}

func TestDeviceLimitInHello(t *testing.T) {
	h := newHouse(t)
	for range 3 {
		h.connect("alice")
	}
	d := h.dial()
	d.send(&schemas.Hello{Token: h.token("alice"), DeviceName: "fourth"})
	d.wantError(schemas.CodeDeviceLimit)
}

func TestBearerHeaderIsCheckedBeforeTheUpgrade(t *testing.T) {
	h := newHouse(t)
	dial := func(token string) (*websocket.Conn, *http.Response, error) {
		return websocket.Dial(h.ctx(), h.http.URL+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
	}
	_, resp, err := dial("nonsense")
	if err == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Fatalf("a wrong token got %v, %v", resp, err)
	}
	ws, _, err := dial(h.token("alice"))
	if err != nil {
		t.Fatal(err)
	}
	h.ws = append(h.ws, ws)
	d := &device{t: t, ws: ws}
	d.hello(&schemas.Hello{DeviceName: "x"})
	if d.welcome.UserID != "alice" {
		t.Errorf("welcome is for %s", d.welcome.UserID)
	}
}

func TestOrigin(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.AllowedOrigins = origins(t, "chat.example.com") })
	for origin, ok := range map[string]bool{"https://chat.example.com": true, "https://evil.example.com": false, "": true, h.http.URL: true} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		ws, resp, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", &websocket.DialOptions{HTTPHeader: header})
		if ok != (err == nil) {
			t.Errorf("origin %q: %v", origin, err)
		}
		if err == nil {
			h.ws = append(h.ws, ws)
		} else if resp.StatusCode != http.StatusForbidden {
			t.Errorf("origin %q: status %d", origin, resp.StatusCode)
		}
	}
}

func TestNewestConnectionWins(t *testing.T) { eachConsumer(t, testNewestConnectionWins) }

// The other gateway has the default kind of consumer, whatever the one has.
func testNewestConnectionWins(t *testing.T, nats *house) {
	other := joinHouse(t, nats.nats)
	old := nats.connect("alice")
	again := other.reconnect("alice", old.welcome.DeviceID, "")
	old.wantClose(schemas.CloseReplaced)
	bob := nats.connect("bob")
	bob.tell("alice", "to the newer one")
	again.take()
	// The end of the old one did not take the device offline.
	if online, _, err := nats.conn.Presence().Status(nats.ctx(), "alice", person(t, nats, "alice").Devices); err != nil || !online {
		t.Errorf("online is %v, %v", online, err)
	}
}

// TestOlderSessionReplacesNobody hears of an older and then of a newer session.
func TestOlderSessionReplacesNobody(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	h.conn.Bus().PublishReplaced(addr("alice", alice), "00000000000000000000000000")
	accepted := bob.tell("alice", "behind it on the live subject")
	if m := alice.take(); m.MessageID != accepted.MessageID {
		t.Errorf("got %+v", m)
	}
	h.conn.Bus().PublishReplaced(addr("alice", alice), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ")
	alice.wantClose(schemas.CloseReplaced)
}

// TestTwoConnectionsAtOnce says hello twice at the same moment, on two gateways:
// one of them stays.
func TestTwoConnectionsAtOnce(t *testing.T) {
	here := newHouse(t)
	there := joinHouse(t, here.nats)
	bob := here.connect("bob")
	id := here.connect("alice").welcome.DeviceID
	for round := range 10 {
		content := fmt.Sprint("to the one that stays in round ", round)
		devices := []*device{here.dial(), there.dial()}
		hello := &schemas.Hello{Token: here.token("alice"), DeviceID: id}
		var greeting sync.WaitGroup
		ended := make(chan int, 2)
		for i, d := range devices {
			d.send(hello)
			greeting.Go(func() {
				for {
					f, err := d.read()
					if err != nil {
						if websocket.CloseStatus(err) != websocket.StatusCode(schemas.CloseReplaced) {
							t.Errorf("connection %d ended with %v", i, err)
						}
						ended <- i
						return
					}
					if m, ok := f.(*schemas.Incoming); ok {
						d.ack(m.MessageID)
						if m.Content == content { // not one of an earlier round, again
							return
						}
					}
				}
			})
		}
		loser := <-ended
		bob.tell("alice", content)
		greeting.Wait()
		if len(ended) > 0 {
			t.Fatal("both connections were closed")
		}
		_ = devices[1-loser].ws.CloseNow()
	}
}

func TestRemovedWhileConnected(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	if status, _ := h.call("alice", "DELETE", "/devices/"+string(alice.welcome.DeviceID), ""); status != http.StatusOK {
		t.Fatal(status)
	}
	alice.wantClose(schemas.CloseDeviceRemoved)
	bob.tell("alice", "waits for her next device")
	if got := h.connect("alice").backlog(); len(got) != 1 {
		t.Errorf("the next device got %d messages", len(got))
	}
}

func TestConnectionLimits(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits = gateway.Limits{ConnectionsPerUser: 1, ConnectionsPerAddress: 2} })
	h.connect("alice")
	d := h.dial()
	d.send(&schemas.Hello{Token: h.token("alice"), DeviceName: "second"})
	d.wantError(schemas.CodeRateLimited)
	d.wantClose(schemas.CloseRateLimited)
	eventually(t, "the refused connection is gone", func() bool {
		ws, _, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", nil)
		if err != nil {
			return false
		}
		h.ws = append(h.ws, ws)
		return true
	})
	_, resp, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", nil)
	if err == nil || resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a third connection of the address got %v, %v", resp, err)
	}
}

func TestFramesAreSlowedDown(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits = gateway.Limits{FramesPerSecond: 100} })
	d := h.connect("alice")
	start := time.Now()
	for range 300 {
		d.raw(websocket.MessageText, []byte(`{"type":"heartbeat"}`))
	}
	d.roundTrip()
	if took := time.Since(start); took < 500*time.Millisecond {
		t.Errorf("300 frames at 100 a second and a burst of 200 were read in %v", took)
	}
}

func TestSilentConnectionIsClosed(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Heartbeat = 10 * time.Millisecond })
	h.connect("alice").wantClose(schemas.CloseSlow)
}

func TestOutstandingSendsAreBounded(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	bob, alice := h.connect("bob"), h.connect("alice")
	const n = 4 * schemas.MaxOutstanding
	for range n {
		alice.say("bob", "x")
	}
	for range n {
		want[*schemas.MessageReceived](alice)
	}
	for range n {
		bob.take()
	}
}

// TestContentIsNotMixedUp sends without waiting: the bytes of a frame are gone
// once the next is read, and messages of all sizes share the buffers.
func TestContentIsNotMixedUp(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	bob, alice := h.connect("bob"), h.connect("alice")
	const n = 300
	content := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), 1+i*37%1000) }
	for i := range n {
		alice.say("bob", content(i))
	}
	for i := range n {
		if m := bob.take(); m.Content != content(i) {
			t.Fatalf("message %d is %.20q… of %d", i, m.Content, len(m.Content))
		}
	}
}

func TestDrain(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	alice.tell("bob", "before")
	want[*schemas.Incoming](bob) // not acknowledged
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		h.server.Drain(ctx)
	}()
	if r := want[*schemas.Reconnect](alice); r.AfterMS < 0 || r.AfterMS > 2000 {
		t.Errorf("got %+v", r)
	}
	alice.wantClose(schemas.CloseRestarting)
	bob.wantClose(schemas.CloseRestarting)
	<-done
	if _, resp, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", nil); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a draining gateway answered %v, %v", resp, err)
	}
	var ready schemas.Readiness
	status, answer := h.call("", "GET", "/readyz", "")
	if err := json.Unmarshal(answer.Data, &ready); err != nil || status != http.StatusServiceUnavailable || ready.Missing["gateway"] == "" {
		t.Errorf("readyz answered %d %s", status, answer.Data)
	}
	next := joinHouse(t, h.nats)
	if got := next.reconnect("bob", bob.welcome.DeviceID, "").backlog(); len(got) != 1 || got[0].Content != "before" {
		t.Errorf("the next gateway delivered %v", got)
	}
}

func person(t *testing.T, h *house, u schemas.UserID) *directory.User {
	t.Helper()
	p, err := h.conn.Directory().Fresh(h.ctx(), u)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
