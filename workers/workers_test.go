package workers

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/schemas"
	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/streamstest"
	"roost/workers/sqlite"
)

// bench holds what a worker needs: a real NATS server and a real store.
type bench struct {
	t      *testing.T
	server *embedded.Server
	conn   *streams.Conn
	store  *sqlite.Store
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	server := streamstest.Server(t, filepath.Join(dir, "nats"))
	conn := streamstest.Connect(t, server, streams.Topology{})
	store, err := sqlite.Open(filepath.Join(dir, "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	stop, err := conn.ServeErasures() // as a gateway does
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return &bench{t: t, server: server, conn: conn, store: store}
}

// run starts a worker on store. The cleanup of the test stops it.
func (b *bench) run(store Store) *prometheus.Registry {
	b.t.Helper()
	return b.runWith(Options{Store: store})
}

// runWith is run with more options.
func (b *bench) runWith(o Options) *prometheus.Registry {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	registry := prometheus.NewRegistry()
	o.Streams, o.Registry, o.Log = b.conn, registry, streamstest.Log(b.t)
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	return registry
}

func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
	b.t.Cleanup(cancel)
	return ctx
}

// keep switches a user's history on, for that many days, or off.
func (b *bench) keep(u schemas.UserID, days int) schemas.Settings {
	b.t.Helper()
	if err := b.conn.Directory().EnsureUser(b.ctx(), u); err != nil {
		b.t.Fatal(err)
	}
	s, err := b.conn.Directory().ChangeSettings(b.ctx(), u, func(s schemas.Settings) schemas.Settings {
		return (&schemas.SettingsChange{HistoryStorage: &days}).Apply(s, schemas.Now())
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// post stores a message in MESSAGES, as a gateway does.
func (b *bench) post(from, to schemas.UserID, content string) schemas.Message {
	b.t.Helper()
	id := b.conn.Clock().Next()
	m := schemas.Message{MessageID: id, SenderID: from, ReceiverID: to, Content: content, Timestamp: id.Time(),
		SenderDeviceID: schemas.DeviceID(b.conn.Clock().NextULID()), MessageIDByClient: 1}
	b.commit(&m)
	return m
}

func (b *bench) commit(m *schemas.Message) {
	b.t.Helper()
	done := make(chan error, 1)
	b.conn.CommitCopies(streams.Copies{Message: m, Entry: m.StoredMessage(), Log: true, Keep: true},
		func(_ []uint64, err error) { done <- err })
	if err := <-done; err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) history(as, with schemas.UserID) []string {
	b.t.Helper()
	reply, err := b.conn.HistoryPage(b.ctx(), schemas.HistoryRequest{UserID: as, Chat: string(with)})
	if err != nil {
		return []string{err.Error()}
	}
	var contents []string
	for _, m := range reply.Messages {
		contents = append(contents, m.Content)
	}
	return contents
}

func (b *bench) wantHistory(as, with schemas.UserID, want ...string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("history of %s with %s is %v", as, with, want), func() bool {
		return fmt.Sprint(b.history(as, with)) == fmt.Sprint(want)
	})
}

func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(streamstest.Timeout); time.Now().Before(deadline); {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.t.Fatalf("timed out waiting for: %s", what)
}

func counter(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "roost_worker_"+name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0 // the worker has not started yet
}
