package inbox

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"roost/schemas"
	"roost/streams/cursor"
	"roost/streams/jsapi"
)

// After a deletion the remover leaves the stream alone for as long as the deletion took,
// at most maxPause; if an inbox is overdue, it goes on at once and works on several.
func TestRemoverPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &remover{workers: 5}
		pause := func(took time.Duration) time.Duration {
			began := time.Now()
			r.pause(t.Context(), took)
			return time.Since(began)
		}
		var busy, most atomic.Int64
		turns := make([]*removeTurn, 3*r.workers)
		work := func(*removeTurn) {
			most.Store(max(most.Load(), busy.Add(1)))
			time.Sleep(time.Millisecond)
			busy.Add(-1)
		}
		r.due = []*removeTurn{{since: time.Now()}}
		for took, want := range map[time.Duration]time.Duration{7 * time.Millisecond: 7 * time.Millisecond, time.Second: maxPause} {
			if got := pause(took); got != want {
				t.Errorf("after a deletion of %v it paused %v, not %v", took, got, want)
			}
		}
		if r.each(turns, work); most.Load() != 1 {
			t.Errorf("%d deletions at a time while nothing is overdue", most.Load())
		}
		time.Sleep(overdueAfter)
		if got := pause(time.Second); got != 0 {
			t.Errorf("it paused %v with an inbox overdue", got)
		}
		if r.each(turns, work); most.Load() != int64(r.workers) {
			t.Errorf("%d deletions at a time with an inbox overdue, not %d", most.Load(), r.workers)
		}
	})
}

// What the device acknowledged on an earlier connection is not delivered again. An entry
// that was stored after the acknowledgements were recorded is delivered in any case: its
// sequence was given a second time.
func TestRecordedAcknowledgements(t *testing.T) {
	b, sink := unconnected()
	at := time.Now()
	b.earlier = ackRecord{cursor.Position{UpTo: 2, Sent: []uint64{4}}, at}
	before, after := at.Add(-time.Second), at.Add(time.Second)
	b.apply([]jsapi.Message{{Sequence: 1, Time: before, Data: content("1")}, {Sequence: 2, Time: after, Data: content("2")},
		{Sequence: 3, Time: before, Data: content("3")}, {Sequence: 4, Time: before, Data: content("4")}, {Sequence: 5, Time: before, Data: content("5")}})
	if !slices.Equal(sink.got, []string{"2", "3", "5"}) {
		t.Errorf("%v was delivered", sink.got)
	}
	if got := b.counted; got != 1 {
		t.Errorf("%d entries are to be removed, not the first", got)
	}
}

// The record covers just what was acknowledged: not what comes before in the inbox and is
// unacknowledged, and not what an ended connection no longer sees.
func TestAckRecord(t *testing.T) {
	b, _ := unconnected()
	b.key = cursor.NewKey(b.addr, 1)
	b.reading = false
	for seq := uint64(1); seq <= 6; seq++ {
		b.Entry(10*seq, content("m"))
	}
	record := func() (p cursor.Position) {
		text, ok := b.recordAcks()
		if !ok {
			return p
		}
		p, err := b.key.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ack := func(seqs ...uint64) {
		b.acknowledge(func(e *windowEntry) bool { return slices.Contains(seqs, e.seq) })
	}
	expect := func(pos uint64, sent ...uint64) {
		t.Helper()
		if got := record(); got.UpTo != pos || !slices.Equal(got.Sent, sent) {
			t.Errorf("recorded %+v, not %d and %v", got, pos, sent)
		}
	}
	expect(0)
	ack(20, 40)
	expect(0, 20, 40)
	b.pos = 35 // read so far
	expect(0, 20, 40)
	ack(10, 30)
	expect(30, 40)
	b.pos = 1000 // of a connection that ended
	expect(40)
	ack(50, 60)
	expect(60)
	b.window.drop(60)
	if _, ok := b.recordAcks(); ok {
		t.Error("a record of nothing")
	}
}

// A window gives back the room of a burst.
func TestWindowGivesBack(t *testing.T) {
	var w window
	for seq := range uint64(schemas.MaxInFlight) {
		w.add(windowEntry{seq: seq, acked: true})
	}
	w.drop(schemas.MaxInFlight - 3)
	if len(w.entries) != 2 || cap(w.entries) > 8 {
		t.Errorf("%d entries in room for %d", len(w.entries), cap(w.entries))
	}
	w.drop(schemas.MaxInFlight)
	if cap(w.entries) > windowRoom {
		t.Errorf("an empty window has room for %d", cap(w.entries))
	}
}
