package streams_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"roost/streams"
	"roost/streams/publisher"
	"roost/streams/streamstest"
)

func committer(t testing.TB, c *streams.Conn, stream string) streams.Committer {
	t.Helper()
	return c.Committer(stream)
}

// outcomes commits one set and waits for what became of it.
func outcomes(t testing.TB, w streams.Committer, set ...publisher.Entry) []publisher.Outcome {
	t.Helper()
	done := make(chan []publisher.Outcome, 2)
	if err := w.Commit(set, func(o []publisher.Outcome) { done <- o }); err != nil {
		t.Fatal(err)
	}
	return streamstest.Receive(t, done)
}

// outcomesAtLast are outcomes after tries, as of a client: until none of them is that a loaded
// machine took too long.
func outcomesAtLast(t testing.TB, w streams.Committer, set ...publisher.Entry) []publisher.Outcome {
	t.Helper()
	for ctx := timeout(t); ; {
		all := outcomes(t, w, set...)
		late := slices.ContainsFunc(all, func(o publisher.Outcome) bool {
			return errors.Is(o.Err, publisher.ErrUnknownOutcome) || errors.Is(o.Err, publisher.ErrNotStored)
		})
		if !late || ctx.Err() != nil {
			return all
		}
	}
}

func entry(subject, id string) publisher.Entry {
	return publisher.Entry{Subject: "inbox.0." + subject, ID: id, Data: []byte("content of " + id)}
}

func TestCommitOutcomes(t *testing.T) {
	c := connect(t, streams.Topology{Partitions: 1, InboxMaxMessages: 3})
	w := committer(t, c, "INBOX_0")
	if err := w.Commit(nil, nil); err == nil {
		t.Error("a set without entries was taken")
	}
	large := entry("alice.d", "large")
	large.Data = make([]byte, 1100<<10)
	got := outcomes(t, w, entry("alice.d", "a"), entry("alice.d", "a"), large, entry("alice.d", "b"),
		entry("alice.d", "c"), entry("alice.d", "d"), entry("bob.d", "e"), publisher.Entry{Subject: "inbox.1.nobody", ID: "f", Data: []byte("f")})
	for i, want := range []struct {
		sequence  uint64
		duplicate bool
		err       error
	}{{1, false, nil}, {1, true, nil}, {0, false, publisher.ErrNotStored}, {2, false, nil}, {3, false, nil},
		{0, false, publisher.ErrInboxFull}, {4, false, nil}, {0, false, publisher.ErrNotStored}} {
		if o := got[i]; o.Sequence != want.sequence || o.Duplicate != want.duplicate || !errors.Is(o.Err, want.err) {
			t.Errorf("entry %d: %+v, not %+v", i, o, want)
		}
	}
	if got := outcomes(t, w, entry("alice.d", "b"))[0]; got.Sequence != 2 || !got.Duplicate || got.Err != nil {
		t.Errorf("a duplicate in another set, of a full inbox: %+v", got)
	}
	if got := outcomes(t, w, entry("alice.d", "d"))[0]; !errors.Is(got.Err, publisher.ErrInboxFull) {
		t.Errorf("an entry that was refused before is no duplicate: %+v", got)
	}
}

func entries(n int, subject, prefix string) []publisher.Entry {
	set := make([]publisher.Entry, n)
	for i := range set {
		set[i] = entry(subject, fmt.Sprint(prefix, i))
	}
	return set
}

// What one goroutine commits is stored in its order, whatever the others do.
func TestCommitOrder(t *testing.T) {
	c := connect(t, onePartition())
	w := committer(t, c, "INBOX_0")
	const goroutines, sets, perSet = 8, 100, 3
	var wg, calls sync.WaitGroup
	var called atomic.Int64
	results := make([][][]publisher.Outcome, goroutines)
	for g := range goroutines {
		results[g] = make([][]publisher.Outcome, sets)
		wg.Go(func() {
			for s := range sets {
				var set []publisher.Entry
				for e := range perSet {
					set = append(set, entry(fmt.Sprint("user", g, ".d", e), fmt.Sprintf("%d.%d.%d", g, s, e)))
				}
				calls.Add(1)
				if err := w.Commit(set, func(o []publisher.Outcome) {
					results[g][s] = o
					called.Add(1)
					calls.Done()
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	calls.Wait()
	if n := called.Load(); n != goroutines*sets {
		t.Errorf("done was called %d times for %d sets", n, goroutines*sets)
	}
	seen := make(map[uint64]bool)
	for g := range results {
		last := uint64(0)
		for s, set := range results[g] {
			for e, o := range set {
				if o.Err != nil || o.Duplicate || o.Sequence <= last || seen[o.Sequence] {
					t.Fatalf("goroutine %d, set %d, entry %d: %+v after sequence %d", g, s, e, o, last)
				}
				last, seen[o.Sequence] = o.Sequence, true
			}
		}
	}
}

// silent is a subject that somebody listens on who never answers.
func silent(t *testing.T, c *streams.Conn) {
	t.Helper()
	if _, err := c.LiveConn().Subscribe("silent", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := c.LiveConn().Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestCommitBusyThenClosed(t *testing.T) {
	c := connect(t, onePartition(), func(o *streams.Options) { o.CommitTimeout = time.Hour })
	silent(t, c)
	w := committer(t, c, "SILENT")
	set := make([]publisher.Entry, 64)
	for i := range set {
		set[i] = publisher.Entry{Subject: "silent", ID: fmt.Sprint(i), Data: []byte("x")}
	}
	if err := w.Commit(make([]publisher.Entry, streams.MaxQueued+1), nil); !errors.Is(err, publisher.ErrBusy) {
		t.Errorf("a set larger than the queue: %v", err)
	}
	var mu sync.Mutex
	var reports [][]publisher.Outcome
	taken := 0
	for ; ; taken++ {
		err := w.Commit(set, func(o []publisher.Outcome) {
			mu.Lock()
			defer mu.Unlock()
			reports = append(reports, o)
		})
		if errors.Is(err, publisher.ErrBusy) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if taken > (streams.MaxQueued+streams.MaxInflight)/64 {
			t.Fatal("the queue is not bounded")
		}
	}
	if taken < streams.MaxQueued/64 {
		t.Errorf("busy after %d sets", taken)
	}
	c.Close()
	mu.Lock()
	defer mu.Unlock()
	if len(reports) != taken {
		t.Fatalf("%d sets of %d were reported", len(reports), taken)
	}
	for _, o := range reports {
		for _, one := range o {
			if !errors.Is(one.Err, publisher.ErrClosed) || len(o) != len(set) {
				t.Fatalf("reported %+v", o)
			}
		}
	}
	if err := w.Commit(set, nil); !errors.Is(err, publisher.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := c.Committer("INBOX_0").Commit(set, nil); !errors.Is(err, publisher.ErrClosed) {
		t.Errorf("another stream after Close: %v", err)
	}
}

// Where the stream does not answer, who waits behind what it was asked is told as
// soon, and that nothing of theirs is stored.
func TestCommitWaitsNoLongerThanTheStream(t *testing.T) {
	c := connect(t, onePartition(), func(o *streams.Options) { o.CommitTimeout = 300 * time.Millisecond })
	silent(t, c)
	w := committer(t, c, "SILENT")
	const sets = 160
	results := make(chan []publisher.Outcome, sets)
	for s := range sets {
		set := make([]publisher.Entry, 64)
		for i := range set {
			set[i] = publisher.Entry{Subject: "silent", ID: fmt.Sprint(s, ".", i), Data: []byte("x")}
		}
		if err := w.Commit(set, func(o []publisher.Outcome) { results <- o }); err != nil {
			t.Fatal(err)
		}
	}
	unknown, refused := 0, 0
	for range sets {
		for _, o := range streamstest.Receive(t, results) {
			switch {
			case errors.Is(o.Err, publisher.ErrUnknownOutcome):
				unknown++
			case errors.Is(o.Err, publisher.ErrNotStored):
				refused++
			default:
				t.Fatalf("outcome %+v", o)
			}
		}
	}
	// Two rounds at most were published before the rest had waited for too long.
	if bound := 2 * streams.MaxInflight; unknown > bound || refused < sets*64-bound {
		t.Errorf("%d have an unknown outcome, %d are known not to be stored", unknown, refused)
	}
}

// restartable is a server that can be stopped and started again on its data.
type restartable struct {
	t       testing.TB
	dir     string
	port    int
	stop    func()
	network *streamstest.Network
}

func newRestartable(t testing.TB) *restartable {
	r := &restartable{t: t, dir: t.TempDir(), port: streamstest.FreePort(t)}
	r.network = streamstest.NewNetwork(t, r.port)
	r.start()
	return r
}

func (r *restartable) start() {
	r.stop = streamstest.Server(r.t, r.dir, streamstest.OnPort(r.port)).Stop
}

func (r *restartable) connect(topology streams.Topology, opts ...func(*streams.Options)) *streams.Conn {
	c, err := streams.Dial(streams.Options{URL: "nats://" + r.network.Address, Log: streamstest.Log(r.t)})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := c.Apply(timeout(r.t), topology); err != nil {
		r.t.Fatal(err)
	}
	c.Close()
	o := streams.Options{URL: "nats://" + r.network.Address, Log: streamstest.Log(r.t), CommitTimeout: 300 * time.Millisecond}
	for _, opt := range opts {
		opt(&o)
	}
	if c, err = streams.Dial(o); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	if err := c.Open(timeout(r.t)); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// The answers are lost, the server is started again, and the same sets are
// committed again: their ids settle what was unknown. Few entries go one by one,
// many as a batch.
func TestUnknownOutcome(t *testing.T) {
	for _, n := range []int{streams.Singles / 2, 3 * streams.Singles} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRestartable(t)
			c := r.connect(onePartition())
			w := committer(t, c, "INBOX_0")
			set := entries(n, "alice.d", "")
			back := c.Back()
			r.network.Mute()
			for i, o := range outcomes(t, w, set...) {
				if !errors.Is(o.Err, publisher.ErrUnknownOutcome) {
					t.Errorf("entry %d without an answer: %+v", i, o)
				}
			}
			r.stop()
			for i, o := range outcomes(t, w, set...) {
				if o.Err == nil {
					t.Errorf("entry %d was committed to a server that is not there: %+v", i, o)
				}
			}
			r.network.Cut()
			r.start()
			r.network.Mend()
			if err := back(timeout(t)); err != nil {
				t.Fatal(err)
			}
			for i, o := range outcomesAtLast(t, w, set...) {
				if o.Err != nil || !o.Duplicate || o.Sequence != uint64(i+1) {
					t.Errorf("entry %d again: %+v, not a duplicate", i, o)
				}
			}
		})
	}
}

// A server that stops while many sets are under way: each is reported once, and
// all of them committed again are there once.
func TestStoppedMidFlight(t *testing.T) {
	r := newRestartable(t)
	c := r.connect(onePartition())
	w := committer(t, c, "INBOX_0")
	back := c.Back()
	const n = 4000
	type result struct {
		entry int
		publisher.Outcome
	}
	results, some := make(chan result, n), make(chan struct{})
	var answered atomic.Int64
	go func() {
		for i := range n {
			if err := w.Commit([]publisher.Entry{entry("alice.d", fmt.Sprint(i))}, func(o []publisher.Outcome) {
				if answered.Add(1) == 200 {
					close(some)
				}
				results <- result{i, o[0]}
			}); err != nil {
				results <- result{i, publisher.Outcome{Err: err}}
			}
		}
	}()
	streamstest.Receive(t, some)
	r.stop()
	stored, unknown := make(map[int]uint64), 0
	for range n {
		switch r := streamstest.Receive(t, results); {
		case r.Err == nil:
			stored[r.entry] = r.Sequence
		case errors.Is(r.Err, publisher.ErrUnknownOutcome):
			unknown++
		case !errors.Is(r.Err, publisher.ErrNotStored):
			t.Errorf("outcome %v", r.Err)
		}
	}
	t.Logf("%d stored, %d unknown, %d not stored", len(stored), unknown, n-len(stored)-unknown)
	r.start()
	if err := back(timeout(t)); err != nil {
		t.Fatal(err)
	}
	seen := make(map[uint64]bool)
	for i := 0; i < n; i += 500 {
		var set []publisher.Entry
		for k := range 500 {
			set = append(set, entry("alice.d", fmt.Sprint(i+k)))
		}
		for k, o := range outcomesAtLast(t, w, set...) {
			if o.Err != nil || seen[o.Sequence] {
				t.Fatalf("committed again: %+v", o)
			}
			if at, ok := stored[i+k]; ok && (!o.Duplicate || o.Sequence != at) {
				t.Errorf("entry %d was acknowledged at %d; committed again: %+v", i+k, at, o)
			}
			seen[o.Sequence] = true
		}
	}
	s, err := c.JetStream().Stream(timeout(t), "INBOX_0")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.CachedInfo().State.Msgs; got != n {
		t.Errorf("the stream has %d entries, not %d", got, n)
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1, 16} {
		b.Run(fmt.Sprint("sets of ", size), func(b *testing.B) {
			c := connect(b, streams.Topology{Partitions: 1, InboxMaxMessages: 1 << 40})
			w := committer(b, c, "INBOX_0")
			data := make([]byte, 200)
			var user atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				n, subject := 0, fmt.Sprint("inbox.0.user", user.Add(1), ".d")
				done := make(chan []publisher.Outcome, 1)
				for pb.Next() {
					set := make([]publisher.Entry, size)
					for i := range set {
						n++
						set[i] = publisher.Entry{Subject: subject, ID: fmt.Sprint(subject, n), Data: data}
					}
					if err := w.Commit(set, func(o []publisher.Outcome) { done <- o }); err != nil {
						b.Error(err)
						return
					}
					for _, o := range <-done {
						if o.Err != nil {
							b.Error(o.Err)
						}
					}
				}
			})
		})
	}
}
