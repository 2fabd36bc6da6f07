package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/streamstest/files"
)

// limitFiles changes how many files the process may have open; those that it has stay.
func (s *server) limitFiles(n uint64) {
	s.t.Helper()
	files.Limit(s.t, s.cmd.Process.Pid, n)
}

// TestNoFileDescriptors takes all file descriptors from the process, until NATS cannot
// read what it has and a stream stops. No answer is false, the process lives, and with
// descriptors it goes on.
func TestNoFileDescriptors(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, "")
	for _, u := range []schemas.UserID{"bob", "carol", "dave"} {
		_ = join(t, s, dir, u).Close()
	}
	s.stop()
	buryBlocks(t, dir)

	s = serve(t, dir, s.address(), "--inbox-max-messages", "100000")
	d := dialRaw(t, s, token(t, dir, "carol"))
	send := func(to string, n, size int) schemas.ServerFrame {
		d.write(fmt.Sprintf(`{"type":"send_message","receiver_id":%q,"content":%q,"message_id_by_client":%d,"timestamp":1}`, to, strings.Repeat("😀", size), n))
		return d.either(schemas.TypeMessageReceived, schemas.TypeError)
	}
	sent := 2
	if f := send("dave", 1, 1); f.Type() != schemas.TypeMessageReceived {
		t.Fatalf("with descriptors: %+v", f)
	}
	s.limitFiles(0)
	// Whom bob blocks is on disk alone.
	if e, ok := send("bob", 2, 1).(*schemas.ErrorFrame); !ok || e.Code != schemas.CodeUnavailable {
		t.Errorf("a send to somebody who could not be looked up: %+v", e)
	}
	for {
		sent++
		if e, ok := send("dave", sent, 1000).(*schemas.ErrorFrame); ok {
			if e.Code != schemas.CodeUnavailable {
				t.Errorf("a send to a stream that stopped: %+v", e)
			}
			break
		}
		if sent > 3000 {
			t.Fatal("no stream stopped")
		}
	}
	s.limitFiles(4096)
	eventually(t, "sends are accepted again", func() bool {
		return send("dave", sent, 1000).Type() == schemas.TypeMessageReceived
	})
	if f := send("bob", sent+1, 1); f.Type() != schemas.TypeMessageReceived {
		t.Errorf("a send to bob: %+v", f)
	}
	if e, ok := send("nobody", sent+2, 1).(*schemas.ErrorFrame); !ok || e.Code != schemas.CodeUnknownReceiver {
		t.Errorf("a send to nobody: %+v", e)
	}
	_ = d.ws.CloseNow()
	s.stop()
	if got := inboxOf(t, dir, "dave"); got != sent-1 { // not the one to bob
		t.Errorf("dave's inbox has %d messages, not %d", got, sent-1)
	}
	if got := inboxOf(t, dir, "bob"); got != 0 {
		t.Errorf("bob, who blocks carol, has %d messages", got)
	}
}

// TestStopsThoughAStreamTakesNothing stops the process while a stream takes nothing and
// sends wait for it: it ends in time, says that records were left, and the next start
// writes them.
func TestStopsThoughAStreamTakesNothing(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, "")
	_ = join(t, s, dir, "dave").Close()
	s.stop()
	s = serve(t, dir, s.address()) // its streams open their files at the first write
	d := dialRaw(t, s, token(t, dir, "carol"))
	// This writes to the inbox of dave, and not to the records of sends.
	if status, body := s.post("/groups", token(t, dir, "carol"), `{"group_name":"two","members":["dave"]}`); status != http.StatusCreated {
		t.Fatalf("a group: %d %s", status, body)
	}
	const sends = 50
	write := func(n int) *schemas.MessageReceived {
		d.write(fmt.Sprintf(`{"type":"send_message","receiver_id":"dave","content":"%d","message_id_by_client":%[1]d,"timestamp":1}`, n))
		f, ok := d.either(schemas.TypeMessageReceived, schemas.TypeError).(*schemas.MessageReceived)
		if !ok {
			t.Fatalf("number %d was refused", n)
		}
		return f
	}
	s.limitFiles(0)
	accepted := make(map[int]schemas.MessageID)
	for n := 1; n <= sends; n++ {
		accepted[n] = write(n).MessageID
	}
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(timeout):
		t.Fatal("the process does not stop")
	}
	if took, code := time.Since(began), s.cmd.ProcessState.ExitCode(); took > 21*time.Second || code != exitFault {
		t.Errorf("it ended after %v with %d", took, code)
	}
	if log, want := s.log.String(), fmt.Sprint(sends, " accepted sends were not stored"); !strings.Contains(log, want) {
		t.Errorf("the log does not say what was left:\n%s", tail(log, 2000))
	}

	s = serve(t, dir, s.address())
	d = redialRaw(t, s, token(t, dir, "carol"), d.device, "")
	for n := sends; n > 0; n-- {
		if f := write(n); f.MessageID != accepted[n] {
			t.Errorf("number %d again: %s, not %s", n, f.MessageID, accepted[n])
		}
	}
	_ = d.ws.CloseNow()
	s.stop()
}

// post sends a body to a path of the server.
func (s *server) post(path, token, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// either reads up to a frame of one of two types.
func (d *raw) either(one, other schemas.FrameType) schemas.ServerFrame {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for {
		_, data, err := d.ws.Read(ctx)
		if err != nil {
			d.t.Fatalf("waiting for %s or %s: %v", one, other, err)
		}
		f, err := schemas.DecodeServerFrame(data)
		if err != nil {
			d.t.Fatal(err)
		}
		if f.Type() == one || f.Type() == other {
			return f
		}
	}
}

// buryBlocks has bob block carol, and begins a new block after that: so NATS has to open
// a file to read it.
func buryBlocks(t *testing.T, dir string) {
	t.Helper()
	withStreams(t, dir, func(ctx context.Context, server *embedded.Server, c *streams.Conn) {
		if err := c.Directory().Block(ctx, "bob", "carol"); err != nil {
			t.Fatal(err)
		}
		nc, err := nats.Connect("", nats.InProcessServer(server))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		files.Bury(t, js, "$KV.BLOCKS.%d")
	})
}

// inboxOf is how many messages wait for a user's devices, on the disk of a process that
// has ended.
func inboxOf(t *testing.T, dir string, u schemas.UserID) (n int) {
	t.Helper()
	withStreams(t, dir, func(ctx context.Context, server *embedded.Server, _ *streams.Conn) {
		nc, err := nats.Connect("", nats.InProcessServer(server))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := js.Stream(ctx, "INBOX_0")
		if err != nil {
			t.Fatal(err)
		}
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter("inbox.0."+u.Token()+".*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, held := range info.State.Subjects {
			n += int(held)
		}
	})
	return n
}

// withStreams opens the streams of a data directory whose process has ended.
func withStreams(t *testing.T, dir string, do func(context.Context, *embedded.Server, *streams.Conn)) {
	t.Helper()
	server, err := embedded.Start(embedded.Options{StoreDir: filepath.Join(dir, "jetstream"), SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	conn, err := streams.Dial(streams.Options{InProcess: server})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := conn.Open(ctx); err != nil {
		t.Fatal(err)
	}
	do(ctx, server, conn)
}
