package streams_test

import (
	"errors"
	"fmt"
	"testing"

	"roost/streams"
	"roost/streams/publisher"
	"roost/streams/streamstest"
)

// batchOf is the batch that an entry of INBOX_0 was stored with, or "".
func batchOf(t *testing.T, c *streams.Conn, seq uint64) string {
	t.Helper()
	s, err := c.JetStream().Stream(timeout(t), "INBOX_0")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(timeout(t), seq)
	if err != nil {
		t.Fatal(err)
	}
	return m.Header.Get("Nats-Batch-Id")
}

func TestFewGoOneByOneManyAsABatch(t *testing.T) {
	c := connect(t, onePartition())
	w := committer(t, c, "INBOX_0")
	for i, o := range outcomes(t, w, entries(streams.Singles, "alice.d", "few")...) {
		if o.Err != nil || o.Sequence != uint64(i+1) || batchOf(t, c, o.Sequence) != "" {
			t.Fatalf("entry %d of few: %+v in batch %q", i, o, batchOf(t, c, o.Sequence))
		}
	}
	first := ""
	for i, o := range outcomes(t, w, entries(streams.Singles+1, "alice.d", "many")...) {
		batch := batchOf(t, c, o.Sequence)
		if i == 0 {
			first = batch
		}
		if o.Err != nil || o.Duplicate || o.Sequence != uint64(streams.Singles+i+1) || batch == "" || batch != first {
			t.Fatalf("entry %d of many: %+v in batch %q, not %q", i, o, batch, first)
		}
	}
}

// A set larger than a batch takes several; a smaller one is never split.
func TestBatchBounds(t *testing.T) {
	c := connect(t, onePartition())
	w := committer(t, c, "INBOX_0")
	for i, o := range outcomes(t, w, entries(2*streams.MaxBatch+500, "alice.d", "long")...) {
		if o.Err != nil || o.Sequence != uint64(i+1) {
			t.Fatalf("entry %d: %+v", i, o)
		}
	}
	const sets, perSet = 6, streams.MaxBatch/2 - 50
	results := make(chan []publisher.Outcome, sets)
	for s := range sets {
		if err := w.Commit(entries(perSet, fmt.Sprint("user", s, ".d"), fmt.Sprint(s, ".")), func(o []publisher.Outcome) { results <- o }); err != nil {
			t.Fatal(err)
		}
	}
	for range sets {
		o := streamstest.Receive(t, results)
		first, last := o[0], o[perSet-1]
		if first.Err != nil || last.Err != nil || batchOf(t, c, first.Sequence) != batchOf(t, c, last.Sequence) {
			t.Errorf("a set in two batches: %+v, %+v", first, last)
		}
	}
	bulky := entries(60, "bob.d", "bulky") // 6 MB in all
	for i := range bulky {
		bulky[i].Data = make([]byte, 100<<10)
	}
	batches := make(map[string]int)
	for i, o := range outcomes(t, w, bulky...) {
		if o.Err != nil {
			t.Fatalf("entry %d: %+v", i, o)
		}
		batches[batchOf(t, c, o.Sequence)]++
	}
	for b, n := range batches {
		if n > 10 {
			t.Errorf("batch %q has %d entries of 100 KiB", b, n)
		}
	}
}

// In a batch that is refused each entry gets the outcome that it would have had
// alone, and nothing is stored out of order.
func TestRefusedBatchIsSettledApart(t *testing.T) {
	c := connect(t, streams.Topology{Partitions: 1, InboxMaxMessages: 50})
	w := committer(t, c, "INBOX_0")
	for _, o := range outcomes(t, w, entries(50, "full.d", "full")...) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	before := outcomes(t, w, entry("alice.d", "before"))[0]
	for name, bad := range map[string]struct {
		entry     publisher.Entry
		duplicate uint64 // of this sequence; 1 is the first of the batch
		err       error
	}{
		"a duplicate in the batch":     {entry: entry("alice.d", "duplicate.0"), duplicate: 1},
		"a duplicate of one before":    {entry: entry("alice.d", "before"), duplicate: before.Sequence},
		"a full inbox":                 {entry: entry("full.d", "one more"), err: publisher.ErrInboxFull},
		"an entry larger than allowed": {entry: publisher.Entry{Subject: "inbox.0.alice.d", ID: "large", Data: make([]byte, 1100<<10)}, err: publisher.ErrNotStored},
		"a subject of no stream":       {entry: publisher.Entry{Subject: "nowhere.else", ID: "lost", Data: []byte("x")}, err: publisher.ErrNotStored},
		"a subject of another stream":  {entry: publisher.Entry{Subject: "sent.0.alice.d", ID: "sent", Data: []byte("x")}},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := "duplicate."
			if bad.duplicate != 1 {
				prefix = name
			}
			set := entries(40, fmt.Sprint(len(name), ".d"), prefix)
			set[20] = bad.entry
			got := outcomes(t, w, set...)
			last := uint64(0)
			for i, o := range got {
				if i == 20 {
					continue
				}
				if o.Err != nil || o.Duplicate || o.Sequence <= last {
					t.Fatalf("entry %d: %+v behind %d", i, o, last)
				}
				last = o.Sequence
			}
			o, want := got[20], bad.duplicate
			if want == 1 {
				want = got[0].Sequence
			}
			if !errors.Is(o.Err, bad.err) || o.Duplicate != (want > 0) || want > 0 && o.Sequence != want {
				t.Errorf("the one in the middle: %+v", o)
			}
		})
	}
}

// What is committed behind a batch that is refused is stored behind all of it.
func TestNothingOvertakesARefusedBatch(t *testing.T) {
	c := connect(t, onePartition())
	w := committer(t, c, "INBOX_0")
	const sets = 6
	results := make([][]publisher.Outcome, sets)
	done := make(chan struct{}, sets)
	for i := range sets {
		n := 3 * streams.MaxBatch / 4 // no two in one batch
		if i%2 == 1 {
			n = streams.Singles / 4 // few would go one by one
		}
		set := entries(n, "alice.d", fmt.Sprint(i, "."))
		if i == 0 {
			set = append(set, set[0]) // a duplicate: the batch is refused
		}
		if err := w.Commit(set, func(o []publisher.Outcome) { results[i] = o; done <- struct{}{} }); err != nil {
			t.Fatal(err)
		}
	}
	for range sets {
		streamstest.Receive(t, done)
	}
	last := uint64(0)
	if n := len(results[0]) - 1; !results[0][n].Duplicate {
		t.Errorf("the duplicate: %+v", results[0][n])
	} else {
		results[0] = results[0][:n]
	}
	for i, set := range results {
		for e, o := range set {
			if o.Err != nil || o.Duplicate || o.Sequence <= last {
				t.Fatalf("set %d, entry %d: %+v behind %d", i, e, o, last)
			}
			last = o.Sequence
		}
	}
}

// A guarded entry is stored only if its subject has not changed: alone and in a batch,
// where it holds up no other entry.
func TestGuardedEntries(t *testing.T) {
	c := connect(t, onePartition())
	w := committer(t, c, "KV_RECEIPTS")
	entry := func(key string, previous uint64) publisher.Entry {
		return publisher.Entry{Subject: "$KV.RECEIPTS." + key, Data: []byte("{}"), Guarded: true, Previous: previous}
	}
	for _, n := range []int{1, streams.Singles + 1} {
		var set []publisher.Entry
		for i := range n {
			set = append(set, entry(fmt.Sprint(n, "-", i), 0))
		}
		first := outcomes(t, w, set...)
		set[0].Previous = first[0].Sequence
		for i := range set[1:] {
			set[1+i].Previous = first[1+i].Sequence
		}
		if n > 1 {
			set[1].Previous--
		}
		for i, o := range outcomes(t, w, set...) {
			if stale := errors.Is(o.Err, publisher.ErrStale); stale != (i == 1) || !stale && o.Err != nil {
				t.Errorf("entry %d of %d: %v", i, n, o.Err)
			}
		}
		for _, o := range outcomes(t, w, entry(fmt.Sprint(n, "-", 0), 0)) {
			if !errors.Is(o.Err, publisher.ErrStale) {
				t.Errorf("a subject that shall be empty: %v", o.Err)
			}
		}
	}
}
