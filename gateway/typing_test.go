package gateway_test

import (
	"testing"

	"roost/schemas"
)

func TestTyping(t *testing.T) {
	h := newHouse(t)
	alice, tablet := h.connect("alice"), h.connect("alice")
	bob, other := h.connect("bob"), h.connect("bob")
	h.connect("carol")
	for range 20 { // one of them is forwarded
		alice.send(&schemas.TypingNotice{ReceiverID: "bob"})
	}
	alice.send(&schemas.TypingNotice{ReceiverID: "carol"})
	alice.tell("bob", "done")
	for _, d := range []*device{bob, other} {
		d.take()
		if got := seen[*schemas.Typing](d); len(got) != 1 || *got[0] != (schemas.Typing{UserID: "alice"}) {
			t.Errorf("got %d: %+v", len(got), got)
		}
	}
	tablet.take()
	if got := seen[*schemas.Typing](tablet); len(got) != 0 {
		t.Errorf("the sender's own device got %+v", got)
	}
	if got := counter(t, h.reg, "roost_gateway_typing_dropped_total"); got != 19 {
		t.Errorf("%v were counted as dropped, not 19", got)
	}
	tablet.send(&schemas.TypingNotice{ReceiverID: "bob"}) // another session
	want[*schemas.Typing](bob)
	alice.send(&schemas.TypingNotice{ReceiverID: "nobody"})
	alice.wantError(schemas.CodeUnknownReceiver)
	alice.send(&schemas.TypingNotice{GroupID: schemas.GroupID("g-" + h.conn.Clock().NextULID())})
	alice.wantError(schemas.CodeNotAMember)
}

// It is never stored: who is away does not hear of it.
func TestTypingIsNotStored(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	goAway(t, h, "bob", bob)
	alice.send(&schemas.TypingNotice{ReceiverID: "bob"})
	alice.roundTrip()
	bob = h.reconnect("bob", bob.welcome.DeviceID, "")
	want[*schemas.InboxDrained](bob)
	if got := seen[*schemas.Typing](bob); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

// A block lets no typing through, in either direction.
func TestTypingAndBlocks(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	h.block("bob", "alice")
	alice.send(&schemas.TypingNotice{ReceiverID: "bob"})
	bob.send(&schemas.TypingNotice{ReceiverID: "alice"})
	for _, d := range []*device{alice, bob, alice} {
		d.roundTrip()
		if got := seen[*schemas.Typing](d); len(got) != 0 {
			t.Errorf("got %+v", got)
		}
	}
	if got := counter(t, h.reg, "roost_gateway_typing_dropped_total"); got != 2 {
		t.Errorf("%v were counted as dropped, not 2", got)
	}
}
