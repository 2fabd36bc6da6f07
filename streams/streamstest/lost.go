package streamstest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/inbox"
)

// watermark is how far, as the sender may see, the device's user has got.
func (s *Sender) watermark() (w schemas.Watermark) {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	err := s.Conn.Receipts().Changes(time.Unix(0, 0)).OfUser(ctx, s.From, nil, func(items []schemas.ReceiptItem) {
		for _, i := range items {
			if i.UserID == s.To.User {
				w = schemas.Watermark{DeliveredUpTo: i.DeliveredUpTo, ReadUpTo: i.ReadUpTo}
			}
		}
	})
	if err != nil {
		s.T.Fatal(err)
	}
	return w
}

func testReceipts(t *testing.T, s *stage, to *Sender) {
	all := to.CommitMany(3)
	d := s.connect(t, s.gateways[0], to.To, "")
	d.AwaitDrained(t)
	if w := to.watermark(); w.DeliveredUpTo != "" {
		t.Errorf("delivered up to %s before any acknowledgement", w.DeliveredUpTo)
	}
	d.Ack(all[0].ID, all[1].ID)
	d.Close(t)
	if w := to.watermark(); w.DeliveredUpTo != all[1].ID {
		t.Errorf("delivered up to %q, not %s", w.DeliveredUpTo, all[1].ID)
	}
}

// A device may say by resuming, and in no other way, that it has a message.
func testResumeReceipts(t *testing.T, s *stage, to *Sender) {
	all := to.CommitMany(5)
	killed := s.connect(t, s.gateways[0], to.To, "")
	got := killed.AwaitDrained(t)
	d := s.connect(t, s.gateways[1], to.To, got[2].Cursor)
	d.AwaitDrained(t)
	if w := to.watermark(); w.DeliveredUpTo != all[2].ID {
		t.Errorf("delivered up to %q, not %s", w.DeliveredUpTo, all[2].ID)
	}
	d.Close(t)
	killed.Close(t)
}

// An entry that nobody told of stands before many that were acknowledged. Their
// removal must meet it, deliver it, and not take it along.
func testLostLiveRemoved(t *testing.T, s *stage, to *Sender) {
	d := s.connect(t, s.gateways[1], to.To, "")
	d.AwaitDrained(t)
	lost := to.Commit("lost")
	const n = 150
	var all []Sent
	for i := range n {
		all = append(all, to.Send(fmt.Sprint(i)))
		d.AwaitMessage(t, all[i].ID)
		d.Ack(all[i].ID)
	}
	if !to.Held(lost.ID) && !slices.Contains(IDs(d.Got()), lost.ID) {
		t.Fatal("a message was removed that the device never saw")
	}
	s.suite.sweep(s.gateways[1].inboxes)
	d.AwaitMessage(t, lost.ID)
	if !to.Held(lost.ID) {
		t.Error("a message was removed before it was acknowledged")
	}
	d.Ack(lost.ID)
	d.Close(t)
	d = s.connect(t, s.gateways[0], to.To, "")
	expect(t, d.AwaitDrained(t))
	d.Close(t)
}

func testLostLiveClosed(t *testing.T, s *stage, to *Sender) {
	if s.suite.InOrder {
		testUntoldClosed(t, s, to)
		return
	}
	for _, resumed := range []bool{false, true} {
		d := s.connect(t, s.gateways[1], to.To, "")
		d.AwaitDrained(t)
		before := to.Send("before")
		lost := to.Commit("lost")
		seen := to.Send("seen")
		d.AwaitMessage(t, seen.ID)
		got := d.Got()
		last := got[len(got)-1].Cursor
		if slices.Contains(IDs(got), lost.ID) {
			t.Fatal("an entry came that nobody told of")
		}
		d.Ack(before.ID, seen.ID)
		d.Close(t)
		if !to.Held(lost.ID) {
			t.Fatal("a message was removed that the device never saw")
		}
		if to.Held(before.ID) {
			t.Error("what was acknowledged before it is still in the inbox")
		}
		if resumed {
			d = s.connect(t, s.gateways[0], to.To, last)
			expect(t, d.AwaitDrained(t), lost)
		} else {
			d = s.connect(t, s.gateways[0], to.To, "")
			if got := IDs(d.AwaitDrained(t)); got[0] != lost.ID || len(got) > 2 {
				t.Errorf("got %v, not the lost message, and perhaps the one behind it", Contents(d.Got()))
			}
		}
		d.Ack(IDs(d.Got())...)
		d.Close(t)
	}
	d := s.connect(t, s.gateways[0], to.To, "")
	expect(t, d.AwaitDrained(t))
	d.Close(t)
}

// Where entries come in order, one that nobody told of comes like the others.
func testUntoldClosed(t *testing.T, s *stage, to *Sender) {
	d := s.connect(t, s.gateways[1], to.To, "")
	d.AwaitDrained(t)
	all := []Sent{to.Send("before"), to.Commit("untold"), to.Send("seen")}
	expect(t, d.Await(t, 3), all...)
	last := d.Got()[2].Cursor
	d.Ack(all[0].ID, all[2].ID)
	d.Close(t)
	if to.Held(all[0].ID) || !to.Held(all[1].ID) {
		t.Error("not the acknowledged prefix was removed")
	}
	d = s.connect(t, s.gateways[0], to.To, "")
	if got := IDs(d.AwaitDrained(t)); got[0] != all[1].ID || len(got) > 2 {
		t.Errorf("got %v, not the message in the middle, and perhaps the one behind it", Contents(d.Got()))
	}
	d.Close(t)
	d = s.connect(t, s.gateways[0], to.To, last)
	expect(t, d.AwaitDrained(t))
	d.Close(t)
}

// Nothing comes behind it that would show the loss.
func testLostLiveAlone(t *testing.T, s *stage, to *Sender) {
	d := s.connect(t, s.gateways[1], to.To, "")
	d.AwaitDrained(t)
	lost := to.Commit("lost")
	s.suite.sweep(s.gateways[1].inboxes)
	expect(t, d.Await(t, 1), lost)
	lost2 := to.Commit("lost in a gap")
	s.suite.disturb(d.Inbox)
	expect(t, d.Await(t, 2), lost, lost2)
	d.Close(t)
}

func testLateLive(t *testing.T, s *stage, to *Sender) {
	d := s.connect(t, s.gateways[0], to.To, "")
	d.AwaitDrained(t)
	var all []Sent
	for i := range 20 {
		all = append(all, to.Commit(fmt.Sprint(i)))
	}
	for _, e := range slices.Backward(all) {
		to.Tell(e)
	}
	got := d.Await(t, 20)
	for _, e := range all { // once more, and after an acknowledgement
		to.Tell(e)
	}
	d.Ack(IDs(got)...)
	d.Close(t)
	for _, e := range all {
		if to.Held(e.ID) {
			t.Fatalf("%s was acknowledged and is still in the inbox", e.ID)
		}
	}
	d = s.connect(t, s.gateways[0], to.To, "")
	d.AwaitDrained(t)
	for _, e := range all { // long gone
		to.Tell(e)
	}
	to.Conn.Bus().PublishFrame(to.To, []byte("{}"))
	d.AwaitFrame(t, "{}")
	d.Close(t)
}

func testPoison(t *testing.T, s *stage, to *Sender) {
	to.CommitPoison()
	one := to.Commit("1")
	to.CommitPoison()
	two := to.Commit("2")
	d := s.connect(t, s.gateways[0], to.To, "")
	expect(t, d.AwaitDrained(t), one, two)
	to.Tell(to.CommitPoison())
	three := to.Send("3")
	expect(t, d.Await(t, 3), one, two, three)
	d.Ack(one.ID, two.ID, three.ID)
	d.Close(t)
	if u, ok := s.gateways[0].inboxes.(interface{ Unreadable() int64 }); ok && u.Unreadable() != 3 {
		t.Errorf("%d entries were counted as unreadable, not 3", u.Unreadable())
	}
	d = s.connect(t, s.gateways[0], to.To, "")
	expect(t, d.AwaitDrained(t))
	d.Close(t)
	if u, ok := s.gateways[0].inboxes.(interface{ Unreadable() int64 }); ok && u.Unreadable() != 3 {
		t.Error("entries that cannot be read were not removed")
	}
}

func testEnds(t *testing.T, s *stage, to *Sender) {
	first := to.Commit("1")
	older := s.connect(t, s.gateways[0], to.To, "")
	older.AwaitDrained(t)
	newer := s.connect(t, s.gateways[1], to.To, "")
	newer.AwaitDrained(t)
	// The older one is late to say that it has the device; the newer one answers.
	to.Conn.Bus().PublishReplaced(to.To, older.Session)
	if reason := older.AwaitEnd(t); reason != inbox.EndReplaced {
		t.Errorf("ended with %d, not replaced", reason)
	}
	second := to.Send("2")
	expect(t, newer.Await(t, 2), first, second)
	if newer.Ended() != 0 {
		t.Error("the newer connection ended as well")
	}
	expect(t, older.Got(), first)
	older.Ack(first.ID) // on its way when the end came
	older.Close(t)
	to.Conn.Bus().PublishRemoved(to.To)
	if reason := newer.AwaitEnd(t); reason != inbox.EndRemoved {
		t.Errorf("ended with %d, not removed", reason)
	}
	newer.Close(t)
	d := s.connect(t, s.gateways[0], to.To, "")
	expect(t, d.AwaitDrained(t), second)
	d.Close(t)
}

// A device that leaves one message unacknowledged and takes thousands behind it
// gets them all, with cursors that stay short and that it can resume with.
func testUnacknowledgedHead(t *testing.T, s *stage, to *Sender) {
	d := s.connect(t, s.gateways[0], to.To, "")
	d.AwaitDrained(t)
	head := to.Send("head")
	n := 1
	for range 5 {
		for range schemas.MaxInFlight / 2 {
			to.Send(fmt.Sprint(n))
			n++
		}
		got := d.Await(t, n)
		for _, m := range got {
			if m.MessageID != head.ID {
				d.Ack(m.MessageID)
			}
		}
	}
	got := d.Got()
	last := got[len(got)-1].Cursor
	if len(last) > 4<<10 {
		t.Errorf("the cursor has %d bytes", len(last))
	}
	next := to.Commit("next")
	again := s.connect(t, s.gateways[1], to.To, last)
	if got := again.AwaitDrained(t); len(got) != 1 || got[0].MessageID != next.ID {
		t.Errorf("after resuming behind the last, %d messages came, not one", len(got))
	}
	again.Close(t)
	d.Close(t)
}

// Sequences start again in a stream that was deleted and made anew. A cursor of
// before must not hide, or remove, what is there now: neither at a gateway that
// ran all the time nor at one that starts.
func testReborn(t *testing.T, suite InboxSuite) {
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	server := Server(t, t.TempDir())
	topology := streams.Topology{Partitions: 1}
	conn := suite.connect(t, server, topology)
	s := &stage{suite: suite}
	start := func() gateway {
		inboxes, err := suite.Start(ctx, conn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(inboxes.Close)
		return gateway{conn, inboxes}
	}
	running := start()
	to := &Sender{T: t, Conn: conn, From: "alice", To: NewAddress(conn)}
	to.CommitMany(20)
	d := s.connect(t, running, to.To, "")
	old := d.AwaitDrained(t)[19].Cursor
	d.Close(t)

	if err := JetStream(t, server).DeleteStream(ctx, "INBOX_0"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Apply(ctx, topology); err != nil {
		t.Fatal(err)
	}
	all := to.CommitMany(5)
	for _, g := range []gateway{running, start()} {
		d = s.connect(t, g, to.To, old)
		expect(t, d.AwaitDrained(t), all...)
		d.Close(t)
	}
}
