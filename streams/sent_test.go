package streams_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/publisher"
	"roost/streams/sendlog"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

func recordSent(t testing.TB, c *streams.Conn, a subject.Address, n int, content string) (schemas.SendRecord, publisher.Outcome) {
	t.Helper()
	rec := schemas.SendRecord{MessageIDByClient: schemas.ClientMessageID(n), MessageID: c.Clock().Next(),
		ContentHash: (&schemas.Message{ReceiverID: "bob", Content: content}).Hash()}
	done := make(chan publisher.Outcome, 2)
	if err := c.SendLog().Record(a, rec, func(o publisher.Outcome) { done <- o }); err != nil {
		t.Fatal(err)
	}
	return rec, streamstest.Receive(t, done)
}

func TestSentRecords(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	a := streamstest.NewAddress(c)
	if _, ok, err := c.SendLog().Last(ctx, a); ok || err != nil {
		t.Errorf("a device that never sent: %t, %v", ok, err)
	}
	if _, ok, err := c.SendLog().Find(ctx, a, 7); ok || err != nil {
		t.Errorf("a device that never sent: %t, %v", ok, err)
	}
	one, o := recordSent(t, c, a, 1, "one")
	if o.Err != nil || o.Duplicate {
		t.Fatalf("%+v", o)
	}
	if _, again := recordSent(t, c, a, 1, "another"); !again.Duplicate || again.Sequence != o.Sequence {
		t.Errorf("the same number again: %+v", again)
	}
	var last schemas.SendRecord
	for n := 2; n <= 70; n++ {
		if n != 68 {
			last, _ = recordSent(t, c, a, n, fmt.Sprint(n))
		}
	}
	if got, ok, err := c.SendLog().Last(ctx, a); err != nil || !ok || got != last {
		t.Errorf("the last is %+v, %t, %v, not %+v", got, ok, err, last)
	}
	if got, ok, err := c.SendLog().Find(ctx, a, 70); err != nil || !ok || got != last {
		t.Errorf("number 70 is %+v, %t, %v", got, ok, err)
	}
	for n, want := range map[schemas.ClientMessageID]error{68: nil, 71: nil, 5: sendlog.ErrForgotten, 1: sendlog.ErrForgotten} {
		if _, ok, err := c.SendLog().Find(ctx, a, n); ok || !errors.Is(err, want) {
			t.Errorf("number %d: found %t, %v", n, ok, err)
		}
	}
	if _, ok, err := c.SendLog().Last(ctx, streamstest.NewAddress(c)); ok || err != nil {
		t.Errorf("another device has it: %t, %v", ok, err)
	}
	if got := c.Clock().Next(); got <= one.MessageID {
		t.Errorf("%s does not come after %s", got, one.MessageID)
	}
}

// A process that starts with a clock an hour behind makes larger ids than those
// on record.
func TestClockOverARestart(t *testing.T) {
	server := streamstest.Server(t, t.TempDir())
	ahead := newClock()
	c := streamstest.Connect(t, server, onePartition(), func(o *streams.Options) { o.Now = ahead.Now })
	rec, _ := recordSent(t, c, streamstest.NewAddress(c), 1, "one")
	behind := newClock()
	behind.Advance(-time.Hour)
	c = streamstest.Connect(t, server, onePartition(), func(o *streams.Options) { o.Now = behind.Now })
	if id := c.Clock().Next(); id <= rec.MessageID {
		t.Errorf("%s is not larger than %s", id, rec.MessageID)
	}
}

type copied struct {
	sequences []uint64
	err       error
}

func commitCopies(t testing.TB, c *streams.Conn, m streams.Copies) copied {
	t.Helper()
	done := make(chan copied, 2)
	c.CommitCopies(m, func(sequences []uint64, err error) { done <- copied{sequences, err} })
	return streamstest.Receive(t, done)
}

func copiesOf(c *streams.Conn, to ...subject.Address) streams.Copies {
	m := &schemas.Message{MessageID: c.Clock().Next(), SenderID: "alice", SenderDeviceID: schemas.DeviceID(c.Clock().NextULID()),
		ReceiverID: "bob", Content: "hello", Timestamp: schemas.Now()}
	return streams.Copies{Message: m, Entry: m.StoredMessage(), To: to}
}

func TestCommitCopies(t *testing.T) {
	c, ctx := connect(t, streams.Topology{Partitions: 4, InboxMaxMessages: 2}), timeout(t)
	var to []subject.Address
	for range 20 { // of many users, in all partitions
		to = append(to, streamstest.NewAddress(c))
	}
	m := copiesOf(c, to...)
	m.Log, m.Keep = true, true
	got := commitCopies(t, c, m)
	if got.err != nil || len(got.sequences) != len(to) || slices.Contains(got.sequences, 0) {
		t.Fatalf("%+v", got)
	}
	for _, a := range to {
		if held, err := c.Holds(ctx, a, m.Message.MessageID); err != nil || !held {
			t.Errorf("a copy is missing: %v", err)
		}
		if held, err := c.Holds(ctx, a, "01K73S8AC0DEV1CEDEV1CEDEV1"); err != nil || held {
			t.Errorf("a message that nobody sent is there: %v", err)
		}
	}
	if s, err := c.JetStream().Stream(ctx, "MESSAGES"); err != nil || s.CachedInfo().State.Msgs != 1 {
		t.Errorf("it is not in MESSAGES: %v", err)
	}
	// Again, with one more device: only that one's copy is new.
	m.To = append(m.To, streamstest.NewAddress(c))
	got = commitCopies(t, c, m)
	if got.err != nil || slices.Max(got.sequences[:20]) != 0 || got.sequences[20] == 0 {
		t.Errorf("a retry: %+v", got)
	}
	if got := commitCopies(t, c, copiesOf(c)); got.err != nil || len(got.sequences) != 0 {
		t.Errorf("a message for nobody: %+v", got)
	}
	commitCopies(t, c, copiesOf(c, to[0]))
	if got := commitCopies(t, c, copiesOf(c, to...)); !errors.Is(got.err, publisher.ErrInboxFull) {
		t.Errorf("one inbox of many is full: %+v", got)
	}
	c.Close()
	if got := commitCopies(t, c, m); !errors.Is(got.err, publisher.ErrClosed) {
		t.Errorf("after Close: %+v", got)
	}
}

// TestStoredCopiesAreHeardOfAtOnce: what is stored in one partition is shown though
// another one does not answer; a next message would overtake it else.
func TestStoredCopiesAreHeardOfAtOnce(t *testing.T) {
	c := streamstest.Connect(t, streamstest.Server(t, t.TempDir()), streams.Topology{Partitions: 2},
		func(o *streams.Options) { o.CommitTimeout = 500 * time.Millisecond })
	var to []subject.Address
	for p := range 2 {
		a := streamstest.NewAddress(c)
		for subject.Partition(a.User, 2) != p {
			a = streamstest.NewAddress(c)
		}
		to = append(to, a)
	}
	if err := c.JetStream().DeleteStream(timeout(t), "INBOX_1"); err != nil {
		t.Fatal(err)
	}
	type stored struct {
		i        int
		sequence uint64
	}
	heard := make(chan stored, 4)
	hear := func(i int, sequence uint64) { heard <- stored{i, sequence} }
	slow := copiesOf(c, to...)
	slow.Stored = hear
	failed := make(chan error, 1)
	c.CommitCopies(slow, func(_ []uint64, err error) { failed <- err })
	next := copiesOf(c, to[0])
	next.Stored = hear
	if got := commitCopies(t, c, next); got.err != nil {
		t.Fatal(got.err)
	}
	for n := range uint64(2) {
		if got := streamstest.Receive(t, heard); got != (stored{0, n + 1}) {
			t.Errorf("heard %+v, want copy %d of the first inbox", got, n+1)
		}
	}
	if err := streamstest.Receive(t, failed); err == nil {
		t.Error("a send without one of its streams was accepted")
	}
	if len(heard) > 0 {
		t.Errorf("heard of %+v, which is not stored", <-heard)
	}
}

func BenchmarkLastSent(b *testing.B) {
	c, ctx := connect(b, onePartition()), timeout(b)
	a := streamstest.NewAddress(c)
	for n := range schemas.MaxOutstanding {
		recordSent(b, c, a, n+1, "content")
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := c.SendLog().Last(ctx, a); err != nil || !ok {
			b.Fatal(err)
		}
	}
}
