package streams_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"roost/streams"
	"roost/streams/streamstest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// clock is a time that only the test moves.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Now().UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) Advance(d time.Duration) { c.ns.Add(int64(d)) }

// timeout bounds one test.
func timeout(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
	t.Cleanup(cancel)
	return ctx
}

func contextWithCancel(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithCancel(timeout(t))
}

// connect starts a server and one connection to it.
func connect(t testing.TB, topology streams.Topology, opts ...func(*streams.Options)) *streams.Conn {
	t.Helper()
	return streamstest.Connect(t, streamstest.Server(t, t.TempDir()), topology, opts...)
}

func onePartition() streams.Topology { return streams.Topology{Partitions: 1} }
