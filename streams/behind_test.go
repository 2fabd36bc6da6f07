package streams_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roost/schemas"
	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/inbox"
	"roost/streams/publisher"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// impatient gives up on commits soon, where a test stops a stream.
func impatient(o *streams.Options) { o.CommitTimeout = 100 * time.Millisecond }

// open is a process that is alone with a server, and its consumers.
func open(t testing.TB, server *embedded.Server, opts ...func(*streams.Options)) (*streams.Conn, *inbox.Consumers) {
	t.Helper()
	c := streamstest.Connect(t, server, onePartition(), append(opts, alone)...)
	cs, err := c.StartConsumers(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cs.Close)
	return c, cs
}

// hold keeps records from the stream.
func hold(t testing.TB, c *streams.Conn) (release func()) {
	t.Helper()
	return c.HoldCommits(t, "SENT_0")
}

// send is what a gateway does with a message: record, then copies.
func send(t testing.TB, c *streams.Conn, from, to subject.Address, n int, content string) (schemas.SendRecord, streamstest.Sent) {
	t.Helper()
	m := &schemas.Message{MessageID: c.Clock().Next(), SenderID: from.User, SenderDeviceID: from.Device, ReceiverID: to.User,
		Content: content, Timestamp: schemas.Now(), MessageIDByClient: schemas.ClientMessageID(n)}
	rec := schemas.SendRecord{MessageIDByClient: m.MessageIDByClient, MessageID: m.MessageID, ContentHash: m.Hash()}
	done := make(chan error, 1)
	var copied uint64
	err := c.SendLog().Record(from, rec, func(o publisher.Outcome) {
		if o.Err != nil || o.Duplicate {
			done <- fmt.Errorf("recorded: %+v", o)
			return
		}
		c.CommitCopies(streams.Copies{Message: m, Entry: m.StoredMessage(), To: []subject.Address{to}}, func(seq []uint64, err error) {
			copied = seq[0]
			if err == nil {
				c.Bus().PublishEntry(to, seq[0], m.StoredMessage())
			}
			done <- err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := streamstest.Receive(t, done); err != nil {
		t.Fatal(err)
	}
	return rec, streamstest.Sent{ID: m.MessageID, Sequence: copied}
}

// known is the hello of a device that sends.
func known(t testing.TB, c *streams.Conn, a subject.Address) schemas.SendRecord {
	t.Helper()
	last, _, err := c.SendLog().Last(timeout(t), a)
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// found checks that the answer to a retry is still the first one.
func found(t testing.TB, c *streams.Conn, a subject.Address, want schemas.SendRecord) {
	t.Helper()
	got, ok, err := c.SendLog().Find(timeout(t), a, want.MessageIDByClient)
	got.InboxFrom, got.Highest = 0, 0
	if err != nil || !ok || got != want {
		t.Fatalf("the record of number %d is %+v, %t, %v, not %+v", want.MessageIDByClient, got, ok, err, want)
	}
}

// A process that is alone accepts a send once its copies are durable. What it
// accepted leaves no inbox before the record is durable too.
func TestRecordBehindItsCopies(t *testing.T) {
	c, cs := open(t, streamstest.Server(t, t.TempDir()))
	alice, bob := streamstest.NewAddress(c), streamstest.NewAddress(c)
	known(t, c, alice)
	device := streamstest.Start(t, cs, bob, "")
	defer device.Close(t)

	release := hold(t, c)
	rec, sent := send(t, c, alice, bob, 1, "accepted though SENT_0 does nothing")
	device.AwaitMessage(t, sent.ID)
	device.Ack(sent.ID)
	if err := c.DeleteMessage(briefly(t), bob, sent.Sequence); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("it could be removed: %v", err)
	}
	if _, _, err := c.SendLog().Find(briefly(t), alice, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a retry was not kept waiting: %v", err)
	}
	release()
	found(t, c, alice, rec)
	if err := c.DeleteMessage(timeout(t), bob, sent.Sequence); err != nil {
		t.Error(err)
	}
}

func briefly(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// A number that may be on record waits for the stream, which tells a repeat.
func TestRecordOfAKnownNumber(t *testing.T) {
	c, _ := open(t, streamstest.Server(t, t.TempDir()))
	a := streamstest.NewAddress(c)
	if _, o := recordSent(t, c, a, 5, "of a device that said no hello"); o.Sequence == 0 {
		t.Errorf("it did not wait for the stream: %+v", o)
	}
	known(t, c, a)
	if _, o := recordSent(t, c, a, 6, "new"); o.Sequence != 0 || o.Err != nil {
		t.Errorf("a new number waited for the stream: %+v", o)
	}
	if _, o := recordSent(t, c, a, 6, "from another connection"); !o.Duplicate {
		t.Errorf("the same number again: %+v", o)
	}
	blocked := schemas.SendRecord{MessageIDByClient: 7, MessageID: c.Clock().Next(), ContentHash: "x", BlockedBy: "bob"}
	recorded := make(chan publisher.Outcome, 1)
	if err := c.SendLog().Record(a, blocked, func(o publisher.Outcome) { recorded <- o }); err != nil {
		t.Fatal(err)
	}
	if o := streamstest.Receive(t, recorded); o.Sequence == 0 || o.Err != nil {
		t.Errorf("a new number, of a block that no copy tells, did not wait for the stream: %+v", o)
	}
	if _, o := recordSent(t, c, a, 4, "one that was skipped"); o.Sequence == 0 || o.Duplicate {
		t.Errorf("it did not wait for the stream: %+v", o)
	}
	if last := known(t, c, a); last.MessageIDByClient != 4 {
		t.Errorf("the last record is %+v", last)
	}
}

// A send that waits for its record is not overtaken by the device's next one.
func TestSendsOfADeviceGoOnInOrder(t *testing.T) {
	c, _ := open(t, streamstest.Server(t, t.TempDir()))
	a := streamstest.NewAddress(c)
	known(t, c, a)
	release := hold(t, c)
	went := make(chan schemas.ClientMessageID, 3)
	for n := range schemas.ClientMessageID(3) {
		rec := schemas.SendRecord{MessageIDByClient: n + 1, MessageID: c.Clock().Next()}
		if n == 0 {
			rec.BlockedBy = "bob" // which no copy tells
		}
		if err := c.SendLog().Record(a, rec, func(publisher.Outcome) { went <- rec.MessageIDByClient }); err != nil {
			t.Fatal(err)
		}
	}
	release()
	for n := range schemas.ClientMessageID(3) {
		if got := streamstest.Receive(t, went); got != n+1 {
			t.Errorf("send %d went on, want %d", got, n+1)
		}
	}
	known(t, c, a)
	if _, o := recordSent(t, c, a, 4, "nothing waits any more"); o.Sequence != 0 || o.Err != nil {
		t.Errorf("a new number waited for the stream: %+v", o)
	}
}

// Records that wait are bounded: one more is refused, and taken when there is room.
func TestRecordsThatWaitAreBounded(t *testing.T) {
	c, _ := open(t, streamstest.Server(t, t.TempDir()))
	a := streamstest.NewAddress(c)
	known(t, c, a)
	release := hold(t, c)
	next := schemas.ClientMessageID(0)
	record := func() error {
		next++
		return c.SendLog().Record(a, schemas.SendRecord{MessageIDByClient: next, MessageID: c.Clock().Next()}, func(publisher.Outcome) {})
	}
	for range streams.MaxBehind {
		if err := record(); err != nil {
			t.Fatalf("number %d: %v", next, err)
		}
	}
	if err := record(); !errors.Is(err, publisher.ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	release()
	known(t, c, a) // what waits is written
	if err := record(); err != nil {
		t.Errorf("with room: %v", err)
	}
}

// A message without a copy has nothing but its record to go by.
func TestWithoutCopiesTheRecordComesFirst(t *testing.T) {
	c, _ := open(t, streamstest.Server(t, t.TempDir()))
	a := streamstest.NewAddress(c)
	known(t, c, a)
	release := hold(t, c)
	recordSent(t, c, a, 1, "a note")
	m := &schemas.Message{MessageID: c.Clock().Next(), SenderID: a.User, ReceiverID: a.User, Content: "a note", Timestamp: 1}
	done := make(chan error, 1)
	c.CommitCopies(streams.Copies{Message: m}, func(_ []uint64, err error) { done <- err })
	select {
	case err := <-done:
		t.Fatalf("it was accepted with nothing durable: %v", err)
	case <-time.After(20 * time.Millisecond): // as long as an answer takes
	}
	release()
	if err := streamstest.Receive(t, done); err != nil {
		t.Error(err)
	}
}

// Whenever a process ends, a retry of what it accepted gets the first answer.
func TestRecordsSurviveTheProcess(t *testing.T) {
	server := streamstest.Server(t, t.TempDir())
	rapid.Check(t, func(r *rapid.T) {
		var c *streams.Conn
		var cs *inbox.Consumers
		closed := func() { cs.Close(); c.Close() }
		reopen := func() {
			c, cs = open(t, server, impatient)
		}
		reopen()
		defer func() { closed() }()
		devices := []subject.Address{streamstest.NewAddress(c), streamstest.NewAddress(c)}
		accepted := make([][]schemas.SendRecord, len(devices))
		var copies []streamstest.Sent
		to := streamstest.NewAddress(c)
		held := false
		hello := func() {
			for i, a := range devices {
				want := schemas.ClientMessageID(len(accepted[i]))
				if got := known(t, c, a).Newest(); got != want {
					r.Fatalf("the newest number of device %d is %d, not %d", i, got, want)
				}
			}
		}
		hello()
		steps := map[string]func(*rapid.T){
			"send": func(r *rapid.T) {
				i := rapid.IntRange(0, len(devices)-1).Draw(r, "device")
				n := len(accepted[i]) + 1
				rec, sent := send(t, c, devices[i], to, n, fmt.Sprint("message ", n))
				accepted[i], copies = append(accepted[i], rec), append(copies, sent)
			},
			"hold": func(r *rapid.T) {
				if !held {
					hold(t, c)
					held = true
				}
			},
			"remove": func(r *rapid.T) {
				if held || len(copies) == 0 {
					return // it would wait for the record
				}
				i := rapid.IntRange(0, len(copies)-1).Draw(r, "copy")
				if err := c.DeleteMessage(timeout(t), to, copies[i].Sequence); err != nil {
					r.Fatal(err)
				}
				copies = slices.Delete(copies, i, i+1)
			},
			"end": func(r *rapid.T) {
				closed()
				reopen()
				held = false
				hello()
			},
			"retry": func(r *rapid.T) {
				i := rapid.IntRange(0, len(devices)-1).Draw(r, "device")
				if held || len(accepted[i]) == 0 {
					return
				}
				found(t, c, devices[i], rapid.SampledFrom(accepted[i]).Draw(r, "number"))
			},
		}
		for _, step := range rapid.SliceOfN(rapid.SampledFrom(slices.Sorted(maps.Keys(steps))), 1, 15).Draw(r, "steps") {
			steps[step](r)
		}
	})
}

// A process that starts after one that was behind writes the missing records, alone
// before anything else, a gateway of a cluster before its first device. A record that
// comes behind that of a later send does not make the later number look new.
func TestRecoveredBehindItsSuccessor(t *testing.T) {
	for name, start := range map[string]func(*testing.T, *embedded.Server) *streams.Conn{
		"alone": func(t *testing.T, server *embedded.Server) *streams.Conn {
			return streamstest.Connect(t, server, onePartition(), alone)
		},
		"in a cluster": func(t *testing.T, server *embedded.Server) *streams.Conn {
			c := streamstest.Connect(t, server, onePartition())
			cs, err := c.StartConsumers(timeout(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cs.Close)
			return c
		},
	} {
		recovered := func(t *testing.T, change func(*schemas.Message)) {
			server := streamstest.Server(t, t.TempDir())
			c := streamstest.Connect(t, server, onePartition())
			a, to := streamstest.NewAddress(c), streamstest.NewAddress(c)
			m := &schemas.Message{MessageID: c.Clock().Next(), SenderID: a.User, SenderDeviceID: a.Device, ReceiverID: to.User,
				Content: "its record was lost", Timestamp: 1, MessageIDByClient: 1}
			change(m)
			copied := make(chan error, 1)
			c.CommitCopies(streams.Copies{Message: m, Entry: m.StoredMessage(), To: []subject.Address{to}}, func(_ []uint64, err error) { copied <- err })
			if err := streamstest.Receive(t, copied); err != nil {
				t.Fatal(err)
			}
			later := schemas.SendRecord{MessageIDByClient: 2, MessageID: c.Clock().Next(), ContentHash: m.Hash(), InboxFrom: 1}
			recorded := make(chan publisher.Outcome, 1)
			if err := c.SendLog().Record(a, later, func(o publisher.Outcome) { recorded <- o }); err != nil {
				t.Fatal(err)
			}
			if o := streamstest.Receive(t, recorded); o.Err != nil {
				t.Fatal(o.Err)
			}
			c = start(t, server)
			if newest := known(t, c, a).Newest(); newest != 2 {
				t.Errorf("the newest number is %d", newest)
			}
			found(t, c, a, schemas.SendRecord{MessageIDByClient: 1, MessageID: m.MessageID, ContentHash: m.Hash(), ExpiresAt: m.ExpiresAt})
		}
		t.Run(name, func(t *testing.T) { recovered(t, func(*schemas.Message) {}) })
		t.Run(name+", an update that disappears", func(t *testing.T) {
			recovered(t, func(m *schemas.Message) {
				m.Change, m.TargetMessageID, m.ExpiresAt = schemas.ChangeEdit, m.MessageID, schemas.Now()+3600_000
			})
		})
	}
}

// TestShutdownWithAStreamThatTakesNothing: more records wait than one batch has, and each
// batch waits as long as a commit may before it fails.
func TestShutdownWithAStreamThatTakesNothing(t *testing.T) {
	const records, patience = 8000, 500 * time.Millisecond
	server := streamstest.Server(t, t.TempDir())
	c := streamstest.Connect(t, server, onePartition(), alone, func(o *streams.Options) { o.CommitTimeout = patience })
	known, unknown := streamstest.NewAddress(c), streamstest.NewAddress(c)
	if _, _, err := c.SendLog().Last(timeout(t), known); err != nil { // from here on larger numbers are new
		t.Fatal(err)
	}
	hold(t, c)
	var answered, refused atomic.Int64
	record := func(a subject.Address, n int) {
		rec := schemas.SendRecord{MessageIDByClient: schemas.ClientMessageID(n), MessageID: c.Clock().Next()}
		err := c.SendLog().Record(a, rec, func(o publisher.Outcome) {
			answered.Add(1)
			if o.Err != nil {
				refused.Add(1)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := range records { // these sends wait for their records
		record(unknown, n+1)
	}
	for n := range records { // these went on
		record(known, n+1)
	}
	began := time.Now()
	err := c.Shutdown(timeout(t))
	if took := time.Since(began); took > 4*patience {
		t.Errorf("it took %v", took)
	}
	if want := fmt.Sprint(records, " accepted sends"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, without %q", err, want)
	}
	if answered.Load() != 2*records || refused.Load() != records {
		t.Errorf("of %d sends %d were answered, and %d were told that they failed", 2*records, answered.Load(), refused.Load())
	}
}

// TestShutdownInTime: a deadline ends the wait for a commit, too.
func TestShutdownInTime(t *testing.T) {
	c := streamstest.Connect(t, streamstest.Server(t, t.TempDir()), onePartition(), alone, func(o *streams.Options) { o.CommitTimeout = streamstest.Timeout })
	a := streamstest.NewAddress(c)
	if _, _, err := c.SendLog().Last(timeout(t), a); err != nil {
		t.Fatal(err)
	}
	hold(t, c)
	recordSent(t, c, a, 1, "hello")
	ctx, cancel := context.WithTimeout(timeout(t), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := c.Shutdown(ctx); err == nil || time.Since(began) > streamstest.Timeout/2 {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}
