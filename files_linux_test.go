package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams"
	"roost/streams/embedded"
)

// limitFiles changes how many files the process may have open; those that it has stay.
func (s *server) limitFiles(n uint64) {
	s.t.Helper()
	limit := syscall.Rlimit{Cur: n, Max: 4096}
	if _, _, err := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(s.cmd.Process.Pid), syscall.RLIMIT_NOFILE,
		uintptr(unsafe.Pointer(&limit)), 0, 0, 0); err != 0 {
		s.t.Fatal(err)
	}
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
		for n := range 6 {
			if _, err := js.Publish(ctx, fmt.Sprint("$KV.BLOCKS.", n), make([]byte, 900_000)); err != nil {
				t.Fatal(err)
			}
		}
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
