package ferrettest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"

	"roost/schemas"
	"roost/workers/mongo"
	"roost/workers/mongo/mongotest"
)

// TestStalledServer: if the server reads commands but answers none, every operation ends by
// itself, even if its caller sets no deadline.
func TestStalledServer(t *testing.T) {
	if !server.ferret {
		t.Skip("not run: the proxy needs the embedded server, which has one address")
	}
	uri, err := url.Parse(mongotest.Database(t, server.uri))
	if err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, uri.Host)
	uri.Host = p.listener.Addr().String()
	// timeoutMS overrides Options.Timeout, which would be too short for Open.
	uri.RawQuery = "timeoutMS=3000"
	s, err := mongo.Open(t.Context(), uri.String(), mongo.Options{Timeout: time.Nanosecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })

	p.stalled.Store(true)
	ctx := context.WithoutCancel(t.Context())
	m := schemas.Message{MessageID: schemas.MessageIDAt(schemas.Now()), SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: schemas.Now()}
	var calls sync.WaitGroup
	defer calls.Wait()
	for name, call := range map[string]func() error{
		"Append": func() error { return s.Append(ctx, []schemas.Message{m}) },
		"Page": func() error {
			_, err := s.Page(ctx, m.Chat(), 0, m.Timestamp, schemas.HistoryPageSize)
			return err
		},
		"Updates": func() error {
			_, err := s.Updates(ctx, m.Chat(), []schemas.MessageID{m.MessageID})
			return err
		},
		"Chats":         func() error { _, err := s.Chats(ctx, "alice"); return err },
		"DeleteBetween": func() error { _, err := s.DeleteBetween(ctx, m.Chat(), 0, m.Timestamp); return err },
		"DeleteExpired": func() error { _, err := s.DeleteExpired(ctx, m.Timestamp); return err },
		"Ping":          func() error { return s.Ping(ctx) },
	} {
		calls.Go(func() {
			if err := call(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: got error %v, want one that is %v", name, err, context.DeadlineExceeded)
			}
		})
	}
}

// TestServerStartsLater opens a store whose server does not answer yet.
func TestServerStartsLater(t *testing.T) {
	if !server.ferret {
		t.Skip("not run: the proxy needs the embedded server, which has one address")
	}
	uri, err := url.Parse(mongotest.Database(t, server.uri))
	if err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, uri.Host)
	p.stalled.Store(true)
	uri.Host = p.listener.Addr().String()
	uri.RawQuery = "timeoutMS=300"
	var indexes atomic.Int32
	monitor := &event.CommandMonitor{Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
		if e.CommandName == "createIndexes" {
			indexes.Add(1)
		}
	}}
	s, err := mongo.Open(t.Context(), uri.String(), mongo.Options{Logger: slog.New(slog.DiscardHandler), Monitor: monitor})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	p.stalled.Store(false)
	m := schemas.Message{MessageID: schemas.MessageIDAt(schemas.Now()), SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: schemas.Now()}
	deadline := time.Now().Add(30 * time.Second)
	for err = s.Append(t.Context(), []schemas.Message{m}); err != nil && time.Now().Before(deadline); {
		err = s.Append(t.Context(), []schemas.Message{m})
	}
	if err != nil || indexes.Load() < 3 {
		t.Errorf("Append: %v, after %d indexes were created", err, indexes.Load())
	}
}

// proxy forwards to a server. After it stalls, it reads bytes and forwards none.
type proxy struct {
	listener net.Listener
	stalled  atomic.Bool

	copies sync.WaitGroup
	mu     sync.Mutex // guards conns
	conns  []net.Conn // both ends of every connection, for the cleanup
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener}
	p.copies.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.join(client, target)
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.copies.Wait()
	})
	return p
}

func (p *proxy) join(client net.Conn, target string) {
	server, err := net.Dial("tcp", target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
		p.copies.Go(func() {
			_, _ = io.Copy(gate{p, ends[1]}, ends[0])
			_ = ends[1].Close()
		})
	}
}

// gate forwards bytes until the proxy stalls, and then drops them.
type gate struct {
	*proxy
	to net.Conn
}

func (g gate) Write(b []byte) (int, error) {
	if g.stalled.Load() {
		return len(b), nil
	}
	return g.to.Write(b)
}
