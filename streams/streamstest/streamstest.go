// Package streamstest gives tests a real NATS server in the process, on a
// temporary directory, and connections to it.
package streamstest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roost/streams"
	"roost/streams/embedded"
)

// Timeout bounds what a test waits for. It is generous: it only ever passes in
// full where something is broken.
const Timeout = 30 * time.Second

// Server starts a server on dir, which is stopped with the test. Tests do not
// wait for the disk: the server syncs once a minute, unless sync is asked for by
// options.
func Server(t testing.TB, dir string, opts ...func(*embedded.Options)) *embedded.Server {
	t.Helper()
	o := embedded.Options{StoreDir: dir, SyncInterval: time.Minute}
	for _, opt := range opts {
		opt(&o)
	}
	s, err := embedded.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Connect opens a connection to s, after applying topology, and closes it with
// the test.
func Connect(t testing.TB, s *embedded.Server, topology streams.Topology, opts ...func(*streams.Options)) *streams.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	o := streams.Options{InProcess: s, Log: Log(t)}
	for _, opt := range opts {
		opt(&o)
	}
	c, err := streams.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.Apply(ctx, topology); err != nil {
		t.Fatal(err)
	}
	if err := c.Open(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

// Log writes to the test's log.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// JetStream reaches a server past package streams, until the end of the test.
func JetStream(t testing.TB, s *embedded.Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Hear calls heard for each message that is published to a subject, one after the
// other.
func Hear(t testing.TB, js jetstream.JetStream, subject string, heard func()) {
	t.Helper()
	sub, err := js.Conn().Subscribe(subject, func(*nats.Msg) { heard() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
}

// Stored is how many messages a stream has.
func Stored(t testing.TB, js jetstream.JetStream, stream string) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	found, err := js.Stream(ctx, stream)
	if err != nil {
		t.Fatal(err)
	}
	return found.CachedInfo().State.Msgs
}
