package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roost/client"
	"roost/schemas"
	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// TestDiskFull fills the disk of the data directory: senders are told, nothing
// acknowledged is lost, and service resumes when there is space again. It needs a
// disk of its own, which only root can make.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("roost-test", dir, "tmpfs", 0, "size=96m"); err != nil {
		t.Skipf("no disk of its own can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	data := filepath.Join(dir, "data")
	s := serve(t, data, "", "--min-free-disk", "32")
	alice, bob := join(t, s, data, "alice"), join(t, s, data, "bob")
	first := send(t, alice, "bob", "before")

	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 70<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "readyz names the disk", func() bool {
		status, r := s.ready()
		return status == 503 && r.Missing["disk"] != ""
	})
	d := dialRaw(t, s, token(t, data, "carol"))
	d.write(`{"type":"send_message","receiver_id":"bob","content":"too late","message_id_by_client":1,"timestamp":1}`)
	if e := d.until(schemas.TypeError).(*schemas.ErrorFrame); e.Code != schemas.CodeUnavailable || e.MessageIDByClient != 1 || e.RetryAfterMS == 0 {
		t.Errorf("a sender was told %+v", e)
	}
	waiting := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		_, err := alice.Send(ctx, schemas.Participant{User: "bob"}, "while full", nil)
		waiting <- err
	}()
	if m := next[client.Message](t, bob); m.MessageID != first.MessageID || m.Ack() != nil {
		t.Errorf("got %+v", m)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("the send that waited for space: %v", err)
	}
	if m := next[client.Message](t, bob); m.Content != "while full" {
		t.Errorf("got %+v", m)
	}
	d.write(`{"type":"send_message","receiver_id":"bob","content":"too late","message_id_by_client":1,"timestamp":1}`)
	d.until(schemas.TypeMessageReceived)
	_ = d.ws.CloseNow()
	closeAll([]*client.Client{alice, bob})
	s.stop()
}

// TestAcknowledgedThenKilled kills the process before it has removed what the
// device acknowledged: a device that resumes with its cursor is not shown it
// again.
func TestAcknowledgedThenKilled(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, "")
	d := dialRaw(t, s, token(t, dir, "bob"))
	alice := join(t, s, dir, "alice")
	var cursor schemas.Cursor
	for _, content := range []string{"one", "two", "three"} {
		send(t, alice, "bob", content)
		m := d.until(schemas.TypeIncomingMessage).(*schemas.Incoming)
		d.write(`{"type":"message_delivered","message_id":"` + string(m.MessageID) + `","timestamp":1}`)
		cursor = m.Cursor
		next[client.Delivered](t, alice) // the gateway has the acknowledgement
	}
	s.kill()
	<-s.exited
	s = serve(t, dir, s.address())
	send(t, alice, "bob", "four")
	again := redialRaw(t, s, token(t, dir, "bob"), d.device, cursor)
	if m := again.until(schemas.TypeIncomingMessage).(*schemas.Incoming); m.Content != "four" {
		t.Errorf("%q was shown again", m.Content)
	}
	_ = again.ws.CloseNow()
	closeAll([]*client.Client{alice})
}

// TestClockSetBack restarts a server whose clock was an hour ahead.
func TestClockSetBack(t *testing.T) {
	// Package streams shows that the clock counts on from what it finds; here a
	// process finds it in the data directory of another one.
	dir := t.TempDir()
	s := serve(t, dir, "")
	alice := join(t, s, dir, "alice")
	join(t, s, dir, "bob")
	before := send(t, alice, "bob", "now")
	closeAll([]*client.Client{alice})
	s.stop()
	advanceRecords(t, dir, time.Hour)
	s = serve(t, dir, s.address())
	alice = join(t, s, dir, "alice")
	after := send(t, alice, "bob", "an hour earlier, by the clock")
	if ahead := after.MessageID.Time() - before.MessageID.Time(); ahead < schemas.Timestamp(time.Hour.Milliseconds()) {
		t.Errorf("the id after the restart is only %d ms ahead of the one before", ahead)
	}
	closeAll([]*client.Client{alice})
}

// advanceRecords leaves in the data directory what a process would have left whose
// clock was ahead by d: a send on record.
func advanceRecords(t *testing.T, dir string, d time.Duration) {
	t.Helper()
	server, err := embedded.Start(embedded.Options{StoreDir: filepath.Join(dir, "jetstream")})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	conn, err := streams.Dial(streams.Options{InProcess: server, Now: func() time.Time { return time.Now().Add(d) }})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if _, err := conn.Apply(ctx, streams.Topology{}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Open(ctx); err != nil {
		t.Fatal(err)
	}
	from := subject.Address{User: "alice", Device: schemas.DeviceID(conn.Clock().NextULID())}
	done := make(chan error, 1)
	err = conn.SendLog().Record(from, schemas.SendRecord{MessageIDByClient: 1, MessageID: conn.Clock().Next(), ContentHash: "x"},
		func(o publisher.Outcome) { done <- o.Err })
	if err = errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, c *client.Client, to schemas.UserID, content string) schemas.MessageReceived {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	got, err := c.Send(ctx, schemas.Participant{User: to}, content, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// raw is a WebSocket without the client library's care.
type raw struct {
	t      *testing.T
	ws     *websocket.Conn
	device schemas.DeviceID
}

func dialRaw(t *testing.T, s *server, token string) *raw {
	t.Helper()
	return helloRaw(t, s, `{"type":"hello","token":"`+token+`","device_name":"raw"}`)
}

func redialRaw(t *testing.T, s *server, token string, id schemas.DeviceID, resume schemas.Cursor) *raw {
	t.Helper()
	return helloRaw(t, s, `{"type":"hello","token":"`+token+`","device_id":"`+string(id)+`","resume_after":"`+string(resume)+`"}`)
}

func helloRaw(t *testing.T, s *server, hello string) *raw {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, s.url+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(1 << 20)
	d := &raw{t: t, ws: ws}
	d.write(hello)
	d.device = d.until(schemas.TypeWelcome).(*schemas.Welcome).DeviceID
	return d
}

func (d *raw) write(frame string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := d.ws.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		d.t.Fatal(err)
	}
}

// until reads up to a frame of a type.
func (d *raw) until(want schemas.FrameType) schemas.ServerFrame {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for {
		_, data, err := d.ws.Read(ctx)
		if err != nil {
			d.t.Fatalf("waiting for %s: %v", want, err)
		}
		f, err := schemas.DecodeServerFrame(data)
		if err != nil {
			d.t.Fatal(err)
		}
		if f.Type() == want {
			return f
		}
		if e, ok := f.(*schemas.ErrorFrame); ok {
			d.t.Fatalf("waiting for %s: the server said %s: %s", want, e.Code, e.Message)
		}
	}
}

// TestSlowReader does not read its socket: it is closed with 4008, the server's
// memory stays bounded, and its messages stay in its inbox.
func TestSlowReader(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, "", "--ack-timeout", "1s")
	d := dialRaw(t, s, token(t, dir, "bob"))
	alice := join(t, s, dir, "alice")
	const messages = 600
	content := strings.Repeat("x", 1000)
	for range messages {
		send(t, alice, "bob", content)
	}
	eventually(t, "the slow device's connection is closed", func() bool {
		_, text := s.get("/metrics", "")
		return strings.Contains(text, `roost_gateway_connections_closed_total{reason="4008"} 1`)
	})
	got := 0
	for {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		_, _, err := d.ws.Read(ctx)
		cancel()
		if err != nil {
			var closed websocket.CloseError
			if !errors.As(err, &closed) || closed.Code != websocket.StatusCode(schemas.CloseSlow) {
				t.Errorf("closed with %v, want 4008", err)
			}
			break
		}
		got++
	}
	if got > schemas.MaxInFlight+2 {
		t.Errorf("%d frames were on their way to a device that does not read", got)
	}
	again := redialRaw(t, s, token(t, dir, "bob"), d.device, "")
	for i := range messages {
		m := again.until(schemas.TypeIncomingMessage).(*schemas.Incoming)
		again.write(`{"type":"ack","cursor":"` + string(m.Cursor) + `"}`)
		if m.MessageIDByClient != schemas.ClientMessageID(i+1) {
			t.Fatalf("message %d is number %d", i+1, m.MessageIDByClient)
		}
	}
	_ = again.ws.CloseNow()
	closeAll([]*client.Client{alice})
}
