package streams_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/streamstest"
)

func connectCluster(t testing.TB, always bool, singles int) *streams.Conn {
	t.Helper()
	c, err := streams.Dial(streams.Options{URL: streamstest.Cluster(t, 3, always), Singles: singles, Log: streamstest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	// Each stream elects a leader, which takes some seconds where the first election
	// has no winner.
	ctx, cancel := context.WithTimeout(context.Background(), 4*streamstest.Timeout)
	defer cancel()
	if _, err := c.Apply(ctx, endless(3)); err != nil {
		t.Fatal(err)
	}
	if err := c.Open(timeout(t)); err != nil {
		t.Fatal(err)
	}
	return c
}

// The leader of the stream steps down again and again under commits of all sizes:
// each entry is told of once, and committed until it is stored it is there once,
// in the order of its goroutine.
func TestLeaderChange(t *testing.T) {
	c := connectCluster(t, false, 0)
	w := committer(t, c, "INBOX_0")
	stop, stepped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { stepped <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := c.LiveConn().Request("$JS.API.STREAM.LEADER.STEPDOWN.INBOX_0", nil, time.Second); err == nil {
				n++
			}
			select {
			case <-stop:
				return
			case <-time.After(300 * time.Millisecond): // as long as a leader takes to be elected, or longer
			}
		}
	}()
	const rounds = 120
	total, last, again := 0, uint64(0), 0
	for round := range rounds {
		set := entries(1+round%50, "alice.d", fmt.Sprint(round, "."))
		total += len(set)
		for {
			stored := true
			got := outcomes(t, w, set...)
			for _, o := range got {
				stored = stored && o.Err == nil
			}
			if !stored {
				again++
				continue
			}
			for i, o := range got {
				if o.Sequence <= last && again == 0 {
					t.Fatalf("round %d, entry %d: %+v behind %d", round, i, o, last)
				}
				last = max(last, o.Sequence)
			}
			break
		}
	}
	close(stop)
	t.Logf("%d changes of the leader, %d sets committed again", <-stepped, again)
	s, err := c.JetStream().Stream(timeout(t), "INBOX_0")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.CachedInfo().State.Msgs; got != uint64(total) {
		t.Errorf("the stream has %d entries, not %d", got, total)
	}
}

// BenchmarkCrossover compares n entries published one by one with one batch of
// them, everything synced: where the batch becomes cheaper is what Options.Singles
// shall be. The CPU is that of all nodes and the client.
func BenchmarkCrossover(b *testing.B) {
	alone := func(stage func(*embedded.Server)) func(*testing.B, int) *streams.Conn {
		return func(b *testing.B, singles int) *streams.Conn {
			s := streamstest.Server(b, b.TempDir(), func(o *embedded.Options) { o.SyncInterval = 0 })
			c := streamstest.Connect(b, s, endless(1), func(o *streams.Options) { o.Singles = singles })
			stage(s)
			return c
		}
	}
	for _, place := range []struct {
		name    string
		connect func(b *testing.B, singles int) *streams.Conn
	}{
		{"one node, staged on disk", alone(func(*embedded.Server) {})},
		{"one node, staged in memory", alone(func(s *embedded.Server) {
			if err := s.StageIn("/dev/shm"); err != nil {
				b.Skip(err)
			}
		})},
		{"three nodes", func(b *testing.B, singles int) *streams.Conn { return connectCluster(b, true, singles) }},
	} {
		for _, n := range []int{4, 8, 16, 32, 64, 256} {
			for how, singles := range map[string]int{"singles": n, "batch": 1} {
				b.Run(fmt.Sprintf("%s/%d/%s", place.name, n, how), func(b *testing.B) {
					w := committer(b, place.connect(b, singles), "INBOX_0")
					used, rounds := cpuUsed(), 0
					for b.Loop() {
						rounds++
						for _, o := range outcomes(b, w, entries(n, "alice.d", fmt.Sprint(rounds, "."))...) {
							if o.Err != nil {
								b.Fatal(o.Err)
							}
						}
					}
					b.ReportMetric(float64((cpuUsed()-used).Microseconds())/float64(rounds*n), "cpu-µs/entry")
					b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(rounds*n), "µs/entry")
				})
			}
		}
	}
}

func endless(replicas int) streams.Topology {
	return streams.Topology{Partitions: 1, Replicas: replicas, InboxMaxMessages: 1 << 40}
}
