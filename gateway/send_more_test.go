package gateway_test

import (
	"testing"

	"roost/gateway"
	"roost/schemas"
	"roost/streams/streamstest"
)

// The timestamp of a message is that of its id, whatever the client says.
func TestTimestampIsTheServers(t *testing.T) {
	h := newHouse(t)
	bob, alice := h.connect("bob"), h.connect("alice")
	alice.send(&schemas.SendMessage{ReceiverID: "bob", Content: "x", MessageIDByClient: 1, Timestamp: 1})
	accepted, m := want[*schemas.MessageReceived](alice), bob.take()
	if at := m.MessageID.Time(); m.Timestamp != at || accepted.Timestamp != at || at < schemas.Now()-60_000 {
		t.Errorf("the id is of %d, the message of %d, the answer of %d", at, m.Timestamp, accepted.Timestamp)
	}
}

// A send needs no timestamp, and a retry may have one that the first try had not.
func TestSendWithoutATimestamp(t *testing.T) {
	h := newHouse(t)
	bob, alice := h.connect("bob"), h.connect("alice")
	alice.send(&schemas.SendMessage{ReceiverID: "bob", Content: "x", MessageIDByClient: 1})
	accepted := want[*schemas.MessageReceived](alice)
	m := bob.take() // which acknowledges it with a timestamp
	if m.Timestamp != m.MessageID.Time() || m.MessageID != accepted.MessageID {
		t.Errorf("got %+v for %+v", m, accepted)
	}
	want[*schemas.Delivered](alice)
	alice.send(&schemas.SendMessage{ReceiverID: "bob", Content: "x", MessageIDByClient: 1, Timestamp: schemas.Now()})
	if again := want[*schemas.MessageReceived](alice); again.MessageID != accepted.MessageID {
		t.Errorf("the retry got %s, and the first try %s", again.MessageID, accepted.MessageID)
	}
	alice.send(&schemas.UpdateMessage{ReceiverID: "bob", TargetMessageID: m.MessageID, Change: schemas.ChangeReaction, Content: "+", MessageIDByClient: 2})
	update := want[*schemas.MessageUpdate](bob)
	bob.send(&schemas.DeliveredAck{MessageID: update.MessageID})
	if d := want[*schemas.Delivered](alice); d.MessageID != update.MessageID {
		t.Errorf("got %+v", d)
	}
}

// reply_to arrives as it was sent.
func TestReplyTo(t *testing.T) {
	h := newHouse(t)
	bob, alice := h.connect("bob"), h.connect("alice")
	first := alice.tell("bob", "question").MessageID
	if m := bob.take(); m.ReplyTo != "" {
		t.Errorf("got %+v", m)
	}
	bob.send(&schemas.SendMessage{ReceiverID: "alice", Content: "answer", MessageIDByClient: 1, Timestamp: 1, ReplyTo: first})
	if m := alice.take(); m.ReplyTo != first || m.MessageID <= first {
		t.Errorf("got %+v", m)
	}
}

// The number of a send that came too fast may be given to another message.
func TestNumberOfALimitedSendIsFree(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits.SendsPerSecond = 5 })
	bob, alice := h.connect("bob"), h.connect("alice")
	const burst = 10
	for range burst {
		alice.tell("bob", "x")
		bob.take()
	}
	n := alice.say("bob", "too fast")
	alice.wantError(schemas.CodeRateLimited)
	eventually(t, "the next send is accepted", func() bool {
		alice.send(message("bob", "another", n))
		for {
			f, err := alice.read()
			if err != nil {
				t.Fatal(err)
			}
			switch f := f.(type) {
			case *schemas.MessageReceived:
				return true
			case *schemas.ErrorFrame:
				if f.Code != schemas.CodeRateLimited {
					t.Fatalf("got %+v", f)
				}
				return false
			}
		}
	})
	if m := bob.take(); m.Content != "another" {
		t.Errorf("got %q", m.Content)
	}
}

// A send that was accepted and is sent again by somebody who was removed meanwhile.
func TestRetryOfSomebodyWhoWasRemoved(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	id := h.makeGroup("carol", "alice")
	n := alice.shout(id, "x")
	want[*schemas.MessageReceived](alice)
	h.remove("carol", id, "alice")
	alice.send(&schemas.SendMessage{GroupID: id, Content: "x", MessageIDByClient: n, Timestamp: 1})
	if e := alice.wantError(schemas.CodeNotAMember); e.MessageIDByClient != n {
		t.Errorf("got %+v", e)
	}
}

// A block has no effect in groups.
func TestBlockInAGroup(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := h.makeGroup("alice", "bob")
	h.block("bob", "alice")
	m := alice.tellGroup(id, "to all of us").MessageID
	if got := bob.take(); got.MessageID != m {
		t.Errorf("got %+v", got)
	}
	bob.send(&schemas.Read{MessageID: m, SenderID: "alice", GroupID: id})
	if got := want[*schemas.Delivered](alice); got.MessageID != m || got.GroupID != id {
		t.Errorf("got %+v", got)
	}
	want[*schemas.ReadBy](alice)
	bob.send(&schemas.TypingNotice{GroupID: id})
	want[*schemas.Typing](alice)
	eventually(t, "the counts", func() bool { return h.count("alice", id, m) == "1/1 of 1" })
}

// What goes to MESSAGES: what somebody keeps, for which a message that a block
// withholds counts as of the sender alone, and with Events everything.
func TestWhatGoesToMessages(t *testing.T) {
	for _, events := range []bool{false, true} {
		nats := streamstest.Server(t, t.TempDir())
		h := joinHouse(t, nats, func(o *gateway.Options) { o.Events = events })
		js := streamstest.JetStream(t, nats)
		alice := h.connect("alice")
		h.connect("bob")
		h.token("carol")
		h.changeSettings("carol", `{"history_storage":90}`)
		had := streamstest.Stored(t, js, "MESSAGES")
		sent := func(what string, to schemas.UserID, kept bool) {
			t.Helper()
			alice.tell(to, what)
			now := streamstest.Stored(t, js, "MESSAGES")
			if (now > had) != (kept || events) {
				t.Errorf("events %t, %s: %d messages, after %d", events, what, now, had)
			}
			had = now
		}
		sent("nobody keeps it", "bob", false)
		sent("the receiver keeps it", "carol", true)
		h.block("carol", "alice")
		sent("the receiver keeps history and blocks the sender", "carol", false)
		h.changeSettings("alice", `{"history_storage":90}`)
		sent("the sender keeps it", "bob", true)
		sent("the sender keeps it and is blocked", "carol", true)
	}
}

// evt.read is of readers who have read receipts on and do not block the sender.
func TestReadEvents(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h := joinHouse(t, nats)
	nc := streamstest.JetStream(t, nats).Conn()
	events, err := nc.SubscribeSync("evt.read.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	alice, bob, carol := h.connect("alice"), h.connect("bob"), h.connect("carol")
	read := func() schemas.MessageID {
		t.Helper()
		id := alice.tell("bob", "x").MessageID
		bob.take()
		bob.send(&schemas.Read{MessageID: id})
		bob.roundTrip()
		return id
	}
	h.changeSettings("bob", `{"read_receipts":false}`)
	read()
	h.changeSettings("bob", `{"read_receipts":true}`)
	before := carol.tell("bob", "from somebody who is blocked then").MessageID
	bob.take()
	h.block("bob", "carol")
	bob.send(&schemas.Read{MessageID: before, SenderID: "carol"})
	id := read()
	m, err := events.NextMsg(streamstest.Timeout)
	if err != nil {
		t.Fatal(err)
	}
	f, err := schemas.DecodeServerFrame(m.Data)
	if r, ok := f.(*schemas.ReadBy); err != nil || !ok || m.Subject != "evt.read.bob" || r.MessageID != id || r.UserID != "bob" {
		t.Errorf("the first event is %s %s, of %s", m.Subject, m.Data, id)
	}
}

// A message that a device has by its cursor alone shows in receipts, and not live.
func TestClaimedByCursorShowsInReceiptsOnly(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := alice.tell("bob", "x").MessageID
	m := want[*schemas.Incoming](bob)
	goAway(t, h, "bob", bob)
	bob = h.reconnect("bob", bob.welcome.DeviceID, m.Cursor)
	want[*schemas.InboxDrained](bob)
	goAway(t, h, "bob", bob)
	if got := h.watermark("alice", "bob"); got.DeliveredUpTo != id {
		t.Errorf("delivered up to %q, want %s", got.DeliveredUpTo, id)
	}
	alice.roundTrip()
	if got := seen[*schemas.Delivered](alice); len(got) != 0 {
		t.Errorf("live: %+v", got)
	}
}

// What one's own other device has is no receipt.
func TestOwnCopyIsNoReceipt(t *testing.T) {
	h := newHouse(t)
	phone, tablet := h.connect("alice"), h.connect("alice")
	h.token("bob")
	m := phone.tell("bob", "x").MessageID
	if got := tablet.take(); got.MessageID != m {
		t.Fatalf("got %+v", got)
	}
	goAway(t, h, "alice", tablet) // which removes it
	if got := h.watermark("alice", "alice"); got != (schemas.Watermark{}) {
		t.Errorf("written: %+v", got)
	}
	phone.roundTrip()
	if got := seen[*schemas.Delivered](phone); len(got) != 0 {
		t.Errorf("told: %+v", got)
	}
}
