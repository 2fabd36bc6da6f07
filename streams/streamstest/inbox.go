package streamstest

import (
	"errors"
	"slices"
	"testing"

	"roost/schemas"
	"roost/streams"
	"roost/streams/cursor"
)

// ExerciseInbox is the contract of [roost/streams/inbox.Consumer]: every implementation passes it.
func ExerciseInbox(t *testing.T, suite InboxSuite) {
	s := newStage(t, suite)
	for name, test := range map[string]func(*testing.T, *stage, *Sender){
		"backlog, drained, live":     testBacklogThenLive,
		"an empty inbox":             testEmpty,
		"in flight":                  testInFlight,
		"no room":                    testNoRoom,
		"acknowledge by id":          testAckByID,
		"acknowledge by cursor":      testAckByCursor,
		"cursors of others":          testForeignCursor,
		"redelivery":                 testRedelivery,
		"resume":                     testResume,
		"resume, killed, resume":     testResumeTwice,
		"acknowledged, killed":       testAckedThenKilled,
		"resume with a foreign one":  testResumeForeign,
		"resume advances receipts":   testResumeReceipts,
		"receipts before removal":    testReceipts,
		"lost live, later removed":   testLostLiveRemoved,
		"lost live, then closed":     testLostLiveClosed,
		"lost live, nothing follows": testLostLiveAlone,
		"late live, out of order":    testLateLive,
		"poison":                     testPoison,
		"ends":                       testEnds,
		"a long list behind one":     testUnacknowledgedHead,
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.gateways[0].Conn
			test(t, s, &Sender{T: t, Conn: conn, From: NewAddress(conn).User, To: NewAddress(conn)})
		})
	}
	t.Run("another life of the stream", func(t *testing.T) { testReborn(t, suite) })
	t.Run("histories", func(t *testing.T) { testHistories(t, s) })
}

func testBacklogThenLive(t *testing.T, s *stage, to *Sender) {
	backlog := []Sent{to.Commit("1"), to.Commit("2"), to.Commit("3")}
	d := s.connect(t, s.gateways[1], to.To, "")
	expect(t, d.AwaitDrained(t), backlog...)
	all := append(backlog, to.Send("4"), to.Send("5"))
	expect(t, d.Await(t, 5), all...)
	to.Conn.Bus().PublishFrame(to.To, []byte(`{"type":"typing"}`))
	d.AwaitFrame(t, `{"type":"typing"}`)
	d.Close(t)
	d.Close(t) // a second time is none
}

func testEmpty(t *testing.T, s *stage, to *Sender) {
	d := s.connect(t, s.gateways[0], to.To, "")
	expect(t, d.AwaitDrained(t))
	one := to.Send("1")
	expect(t, d.Await(t, 1), one)
	d.Close(t)
	// Closed before it was started, nothing is delivered.
	d, err := Open(s.gateways[0].inboxes, to.To, "")
	if err != nil {
		t.Fatal(err)
	}
	d.Close(t)
	expect(t, d.Got())
}

func testInFlight(t *testing.T, s *stage, to *Sender) {
	const n = 2*schemas.MaxInFlight + 50
	all := to.CommitMany(n)
	d := s.connect(t, s.gateways[0], to.To, "")
	for acked := 0; acked < n; {
		got := d.Await(t, min(acked+schemas.MaxInFlight, n))
		if acked == 0 {
			live := to.Send("while the window is full")
			all = append(all, live)
			to.Conn.Bus().PublishFrame(to.To, []byte("{}"))
			d.AwaitFrame(t, "{}") // and so the live entry came before
			expect(t, d.Got(), all[:schemas.MaxInFlight]...)
		}
		d.Ack(IDs(got[acked:])...)
		acked = len(got)
	}
	expect(t, d.Await(t, n+1), all...)
	d.AwaitDrained(t)
	d.Close(t)
}

// testNoRoom connects without room for the whole backlog. What was asked for before may
// still come.
func testNoRoom(t *testing.T, s *stage, to *Sender) {
	const n, first, asked = 200, 10, 64
	all := to.CommitMany(n)
	d, err := Open(s.gateways[0].inboxes, to.To, "")
	if err != nil {
		t.Fatal(err)
	}
	if s.suite.Forgets {
		d.help = func() { s.suite.sweep(s.gateways[0].inboxes) }
	}
	d.Narrow(first)
	d.Inbox.Start()
	d.Await(t, first)
	all = append(all, to.Send("while there is no room"))
	to.Conn.Bus().PublishFrame(to.To, []byte("{}"))
	d.AwaitFrame(t, "{}") // and so the live entry came before
	if got := d.Got(); len(got) > first+asked {
		t.Errorf("%d entries came, with room for %d", len(got), first)
	}
	for got := len(d.Got()); got <= n; got = len(d.Got()) {
		d.Widen(30)
		d.Await(t, min(got+30, n+1))
	}
	expect(t, d.Got(), all...)
	d.AwaitDrained(t)
	d.Close(t)
}

func testAckByID(t *testing.T, s *stage, to *Sender) {
	one, two := to.Commit("1"), to.Commit("2")
	d := s.connect(t, s.gateways[0], to.To, "")
	d.AwaitDrained(t)
	if heads := d.Ack("01K73S8AC0DEV1CEDEV1CEDEV1"); len(heads) != 0 {
		t.Errorf("an id that is not in flight was news: %v", heads)
	}
	heads := d.Ack(one.ID)
	want := schemas.EntryHead{Type: schemas.TypeIncomingMessage, MessageID: one.ID, SenderID: to.From}
	if len(heads) != 1 || heads[0] != want {
		t.Errorf("got %v, not %v", heads, want)
	}
	if again := d.Ack(one.ID); len(again) != 0 {
		t.Errorf("it was news a second time: %v", again)
	}
	d.Ack(two.ID)
	d.Close(t)
	if to.Held(one.ID) || to.Held(two.ID) {
		t.Error("an acknowledged message is still in the inbox after Close")
	}
	d = s.connect(t, s.gateways[1], to.To, "")
	expect(t, d.AwaitDrained(t))
	d.Close(t)
}

func testAckByCursor(t *testing.T, s *stage, to *Sender) {
	all := to.CommitMany(10)
	d := s.connect(t, s.gateways[0], to.To, "")
	got := d.AwaitDrained(t)
	d.Ack(all[1].ID)
	heads, err := d.AckUpTo(got[5].Cursor)
	if err != nil || len(heads) != 5 || slices.ContainsFunc(heads, func(h schemas.EntryHead) bool { return h.MessageID == all[1].ID }) {
		t.Errorf("got %v and %v: the first six without the second are news", heads, err)
	}
	if heads, err = d.AckUpTo(got[3].Cursor); err != nil || len(heads) != 0 {
		t.Errorf("an older cursor was news: %v, %v", heads, err)
	}
	d.Close(t)
	d = s.connect(t, s.gateways[0], to.To, "")
	expect(t, d.AwaitDrained(t), all[6:]...)
	if heads, err = d.AckUpTo(got[8].Cursor); err != nil || len(heads) != 3 {
		t.Errorf("a cursor of an earlier connection: got %v and %v, not three heads", heads, err)
	}
	d.Close(t)
}

func testForeignCursor(t *testing.T, s *stage, to *Sender) {
	other := &Sender{T: t, Conn: to.Conn, From: to.From, To: NewAddress(to.Conn)}
	other.Commit("1")
	to.Commit("1")
	stranger := s.connect(t, s.gateways[0], other.To, "")
	foreign := stranger.AwaitDrained(t)[0].Cursor
	stranger.Close(t)
	d := s.connect(t, s.gateways[0], to.To, "")
	d.AwaitDrained(t)
	for _, c := range []schemas.Cursor{"", "A", "?", "4711", foreign, foreign[:len(foreign)-1], foreign + "A"} {
		if heads, err := d.AckUpTo(c); !refused(err) || len(heads) != 0 {
			t.Errorf("cursor %q: got %v and %v", c, heads, err)
		}
	}
	d.Close(t)
	for _, c := range []schemas.Cursor{"A", "?", "4711", foreign[:4]} {
		if _, err := Open(s.gateways[0].inboxes, to.To, c); !refused(err) {
			t.Errorf("resume after %q: %v", c, err)
		}
	}
}

// refused says whether an inbox refused a cursor.
func refused(err error) bool {
	return errors.Is(err, cursor.ErrMalformed) || errors.Is(err, cursor.ErrForeign)
}

func testRedelivery(t *testing.T, s *stage, to *Sender) {
	all := to.CommitMany(10)
	d := s.connect(t, s.gateways[0], to.To, "")
	d.AwaitDrained(t)
	d.Ack(all[3].ID, all[0].ID, all[2].ID, all[1].ID) // in any order
	d.Ack(all[7].ID)                                  // behind one that is not
	d.Close(t)
	d = s.connect(t, s.gateways[1], to.To, "")
	got := d.AwaitDrained(t)
	got = slices.DeleteFunc(got, func(m Delivery) bool { return m.MessageID == all[7].ID }) // may come again
	expect(t, got, slices.Concat(all[4:7], all[8:])...)
	d.Close(t)
}

func testResume(t *testing.T, s *stage, to *Sender) {
	all := to.CommitMany(10)
	killed := s.connect(t, s.gateways[0], to.To, "")
	got := killed.AwaitDrained(t)
	killed.Ack(all[0].ID, all[1].ID) // and not removed: the gateway dies
	d := s.connect(t, s.gateways[1], to.To, got[5].Cursor)
	expect(t, d.AwaitDrained(t), all[6:]...)
	for i, e := range all {
		if to.Held(e.ID) != (i > 5) {
			t.Errorf("message %d in the inbox: %t", i, i <= 5)
		}
	}
	last := d.Await(t, 4)[3].Cursor
	d.Close(t)
	again := s.connect(t, s.gateways[0], to.To, last)
	expect(t, again.AwaitDrained(t))
	again.Close(t)
	killed.Close(t)
	clean := s.connect(t, s.gateways[0], to.To, "")
	expect(t, clean.AwaitDrained(t))
	clean.Close(t)
}

// The device has an entry far behind a long backlog, because its live message was
// the only one that came. Cursors of a later connection know that it has it, long
// before that connection has read so far. Where entries come in order, the cursor
// is that of another gateway, which had live messages as a shortcut.
func testResumeTwice(t *testing.T, s *stage, to *Sender) {
	shortcut := s.gateways[0]
	if s.suite.InOrder {
		conn := Connect(t, s.server, streams.Topology{Partitions: 2})
		inboxes, err := s.suite.Start(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(inboxes.Close)
		shortcut = gateway{conn, inboxes}
	}
	d := s.connect(t, shortcut, to.To, "")
	d.AwaitDrained(t)
	backlog := to.CommitMany(schemas.MaxInFlight + 10)
	far := to.Send("far")
	d.AwaitMessage(t, far.ID)
	expect(t, d.Got(), far)
	second := s.connect(t, s.gateways[1], to.To, d.Got()[0].Cursor)
	got := second.Await(t, schemas.MaxInFlight) // the window is full
	third := s.connect(t, s.gateways[0], to.To, got[len(got)-1].Cursor)
	expect(t, third.AwaitDrained(t), backlog[schemas.MaxInFlight:]...)
	third.Close(t)
	second.Close(t)
	d.Close(t)
}

// A device acknowledges all but the first, which holds up removal, and its gateway dies.
// Without a cursor it is redelivered what it did not acknowledge, and nothing else.
func testAckedThenKilled(t *testing.T, s *stage, to *Sender) {
	all := to.CommitMany(10)
	killed := s.connect(t, s.gateways[0], to.To, "")
	killed.AwaitDrained(t)
	killed.Ack(IDs(killed.Got())[1:]...)
	to.AwaitRecorded(s.server, 1)
	d := s.connect(t, s.gateways[1], to.To, "")
	expect(t, d.AwaitDrained(t), all[0])
	d.Ack(all[0].ID)
	more := to.Send("more")
	expect(t, d.Await(t, 2), all[0], more)
	d.Ack(more.ID)
	d.Close(t)
	for _, e := range all {
		if to.Held(e.ID) {
			t.Fatalf("%s was acknowledged and is still in the inbox", e.ID)
		}
	}
	killed.Close(t)
}

func testResumeForeign(t *testing.T, s *stage, to *Sender) {
	other := &Sender{T: t, Conn: to.Conn, From: to.From, To: NewAddress(to.Conn)}
	other.CommitMany(3)
	all := to.CommitMany(3)
	stranger := s.connect(t, s.gateways[0], other.To, "")
	foreign := stranger.AwaitDrained(t)[2].Cursor
	stranger.Close(t)
	d := s.connect(t, s.gateways[0], to.To, foreign)
	expect(t, d.AwaitDrained(t), all...)
	d.Close(t)
}
