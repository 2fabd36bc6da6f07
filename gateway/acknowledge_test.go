package gateway_test

import (
	"fmt"
	"testing"

	"roost/schemas"
)

func TestUnacknowledgedComesAgain(t *testing.T) { eachConsumer(t, testUnacknowledgedComesAgain) }

func testUnacknowledgedComesAgain(t *testing.T, h *house) {
	alice, bob := h.connect("alice"), h.connect("bob")
	var ids []schemas.MessageID
	for i := range 3 {
		ids = append(ids, alice.tell("bob", fmt.Sprint(i)).MessageID)
	}
	for range 3 {
		want[*schemas.Incoming](bob)
	}
	bob.ack(ids[0])
	bob.roundTrip()
	goAway(t, h, "bob", bob)
	bob = h.reconnect("bob", bob.welcome.DeviceID, "")
	got := bob.backlog()
	if len(got) != 2 || got[0].MessageID != ids[1] || got[1].MessageID != ids[2] {
		t.Fatalf("got %d messages, want the two that were not acknowledged", len(got))
	}
	bob.send(&schemas.Ack{Cursor: got[1].Cursor})
	bob.roundTrip()
	goAway(t, h, "bob", bob)
	if got := h.reconnect("bob", bob.welcome.DeviceID, "").backlog(); len(got) != 0 {
		t.Errorf("%d messages came again after ack", len(got))
	}
}

func TestResumeAfterIsNotSentAgain(t *testing.T) { eachConsumer(t, testResumeAfterIsNotSentAgain) }

func testResumeAfterIsNotSentAgain(t *testing.T, h *house) {
	alice, bob := h.connect("alice"), h.connect("bob")
	for i := range 5 {
		alice.tell("bob", fmt.Sprint(i))
	}
	var third schemas.Cursor
	for i := range 5 {
		m := want[*schemas.Incoming](bob)
		if i == 2 {
			third = m.Cursor
		}
	}
	goAway(t, h, "bob", bob) // nothing was acknowledged
	bob = h.reconnect("bob", bob.welcome.DeviceID, third)
	got := bob.backlog()
	if len(got) != 2 || got[0].Content != "3" || got[1].Content != "4" {
		t.Fatalf("got %d messages, want the two behind the cursor", len(got))
	}
	goAway(t, h, "bob", bob)
	bob = h.reconnect("bob", bob.welcome.DeviceID, "")
	if got := bob.backlog(); len(got) != 2 {
		t.Errorf("the server did not forget what the cursor covers: %d messages", len(got))
	}
}

func TestAtMostMaxInFlight(t *testing.T) { eachConsumer(t, testAtMostMaxInFlight) }

func testAtMostMaxInFlight(t *testing.T, h *house) {
	alice, bob := h.connect("alice"), h.connect("bob")
	const n = schemas.MaxInFlight + 50
	go func() {
		for i := range n {
			alice.say("bob", fmt.Sprint(i))
		}
	}()
	for range n {
		want[*schemas.MessageReceived](alice)
	}
	var last *schemas.Incoming
	for range schemas.MaxInFlight {
		last = want[*schemas.Incoming](bob)
	}
	bob.seen = nil
	bob.roundTrip()
	for _, f := range bob.seen {
		if _, ok := f.(*schemas.Incoming); ok {
			t.Fatal("more than max_in_flight messages are on the wire")
		}
	}
	bob.send(&schemas.Ack{Cursor: last.Cursor})
	for i := schemas.MaxInFlight; i < n; i++ {
		if m := bob.take(); m.Content != fmt.Sprint(i) {
			t.Fatalf("got %q, want %d", m.Content, i)
		}
	}
}

func TestReceiptsWhileAway(t *testing.T) { eachConsumer(t, testReceiptsWhileAway) }

func testReceiptsWhileAway(t *testing.T, h *house) {
	alice, bob, carol := h.connect("alice"), h.connect("bob"), h.connect("carol")
	toBob, toCarol := alice.tell("bob", "1"), alice.tell("carol", "1")
	goAway(t, h, "alice", alice)
	bob.take()
	bob.roundTrip()
	goAway(t, h, "bob", bob) // writes the watermark
	carol.take()
	carol.roundTrip()
	goAway(t, h, "carol", carol)
	alice = h.reconnect("alice", alice.welcome.DeviceID, "")
	got := map[schemas.UserID]schemas.MessageID{}
	want[*schemas.InboxDrained](alice)
	for _, f := range alice.seen {
		if r, ok := f.(*schemas.Receipts); ok {
			for _, item := range r.Items {
				if item.Chat != string(item.UserID) {
					t.Errorf("chat is %q for %q", item.Chat, item.UserID)
				}
				got[item.UserID] = item.DeliveredUpTo
			}
		}
	}
	if got["bob"] != toBob.MessageID || got["carol"] != toCarol.MessageID {
		t.Errorf("got %v", got)
	}
}
