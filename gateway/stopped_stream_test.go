package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
	"roost/streams/streamstest/files"
)

// TestStoppedStream stops a stream by a failed write. Sends to it are unavailable, readyz
// names it, and no gateway opens it again: that is for whoever runs the NATS node. After
// that sends go on, and readyz forgets it.
func TestStoppedStream(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	conn := streamstest.Connect(t, nats, streams.Topology{Partitions: 1}, func(o *streams.Options) { o.CommitTimeout = time.Second })
	h := moveIn(t, nats, conn)
	stop, err := conn.ServeHistory(oneChat{func() error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	alice := h.connect("alice")
	h.connect("bob").leave()
	send := func() schemas.ServerFrame {
		alice.say("bob", strings.Repeat("😀", 1000))
		f, err := alice.read()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	ready := func() string {
		status, answer := h.call("", "GET", "/readyz", "")
		if status != http.StatusOK {
			t.Errorf("readyz: %d %+v", status, answer)
		}
		return data[schemas.Readiness](t, answer).Degraded["streams"]
	}
	if said := ready(); said != "" {
		t.Errorf("before: %s", said)
	}
	restore := files.None(t)
	for n := 0; ; n++ {
		f := send()
		if e, ok := f.(*schemas.ErrorFrame); ok {
			if e.Code != schemas.CodeUnavailable {
				t.Errorf("got %+v", e)
			}
			break
		}
		if n > 5000 {
			t.Fatal("no stream stopped")
		}
	}
	restore()
	if e, ok := send().(*schemas.ErrorFrame); !ok || e.Code != schemas.CodeUnavailable || e.RetryAfterMS <= 0 {
		t.Errorf("with files again: %+v", e)
	}
	if err := nats.Frozen(); err == nil || !strings.Contains(err.Error(), "INBOX_0") {
		t.Errorf("the health of the node: %v", err)
	}
	if said := ready(); !strings.Contains(said, "INBOX_0 since ") || !strings.Contains(said, "restart the node") {
		t.Errorf("readyz says %q", said)
	}
	if err := nats.Recover(); err != nil { // in place of a start of the node
		t.Fatal(err)
	}
	eventually(t, "sends are accepted again", func() bool { return send().Type() == schemas.TypeMessageReceived })
	eventually(t, "readyz names none", func() bool { send(); return ready() == "" })
}
