package gateway_test

import (
	"net/http"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams/streamstest"
)

func (h *house) block(who, whom schemas.UserID) {
	h.t.Helper()
	h.token(whom)
	if status, a := h.call(who, "PUT", "/blocks/"+string(whom), ""); status != http.StatusOK {
		h.t.Fatalf("%d %+v", status, a.Error)
	}
}

func (h *house) unblock(who, whom schemas.UserID) {
	h.t.Helper()
	if status, a := h.call(who, "DELETE", "/blocks/"+string(whom), ""); status != http.StatusOK {
		h.t.Fatalf("%d %+v", status, a.Error)
	}
}

func TestBlocks(t *testing.T) {
	h := newHouse(t)
	list := func(want string) {
		t.Helper()
		if status, a := h.call("bob", "GET", "/blocks", ""); status != http.StatusOK || string(a.Data) != want {
			t.Errorf("%d %s, not %s", status, a.Data, want)
		}
	}
	list(`{"user_ids":[]}`)
	h.unblock("bob", "alice") // nothing to undo
	for _, whom := range []schemas.UserID{"carol", "alice", "carol"} {
		h.block("bob", whom)
	}
	list(`{"user_ids":["alice","carol"]}`)
	h.unblock("bob", "carol")
	h.unblock("bob", "carol")
	list(`{"user_ids":["alice"]}`)
	for path, want := range map[string]schemas.Code{
		"/blocks/bob":    schemas.CodeInvalidArgument,
		"/blocks/g-team": schemas.CodeInvalidArgument,
		"/blocks/nobody": schemas.CodeNotFound,
	} {
		if _, a := h.call("bob", "PUT", path, ""); a.Error == nil || a.Error.Code != want {
			t.Errorf("PUT %s: %+v, not %s", path, a.Error, want)
		}
	}
	list(`{"user_ids":["alice"]}`)
}

// A blocked person's message is accepted and reaches their own devices, and never
// the one who blocked them.
func TestBlockedSender(t *testing.T) {
	h := newHouse(t)
	phone, tablet, bob := h.connect("alice"), h.connect("alice"), h.connect("bob")
	h.block("bob", "alice")
	withheld := phone.tell("bob", "while blocked")
	if m := tablet.take(); m.MessageID != withheld.MessageID {
		t.Errorf("the sender's other device got %+v", m)
	}
	h.unblock("bob", "alice")
	again := func(d *device) {
		t.Helper()
		d.send(message("bob", "while blocked", 1))
		if got := want[*schemas.MessageReceived](d); got.MessageID != withheld.MessageID {
			t.Errorf("a retry got %+v", got)
		}
	}
	again(phone)
	again(h.reconnect("alice", phone.welcome.DeviceID, ""))
	phone = h.reconnect("alice", phone.welcome.DeviceID, "")
	phone.tell("bob", "after")
	if m := bob.take(); m.Content != "after" {
		t.Errorf("the blocker got %q", m.Content)
	}
	goAway(t, h, "bob", bob)
	if got := h.reconnect("bob", bob.welcome.DeviceID, "").backlog(); len(got) != 0 {
		t.Errorf("the blocker's inbox has %d messages", len(got))
	}
}

// The first device of a person without any gets nothing of it either.
func TestBlockedSenderAndNoDevice(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	h.block("bob", "alice")
	alice.tell("bob", "while blocked")
	h.unblock("bob", "alice")
	alice.send(message("bob", "while blocked", 1))
	want[*schemas.MessageReceived](alice)
	if got := h.connect("bob").backlog(); len(got) != 0 {
		t.Errorf("the first device got %d messages", len(got))
	}
}

// What came before the block is delivered, and its sender is not told.
func TestBlockedSenderHearsNoReceipts(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	before := alice.tell("bob", "before")
	m := want[*schemas.Incoming](bob)
	h.block("bob", "alice")
	bob.ack(m.MessageID)
	bob.roundTrip()
	goAway(t, h, "bob", bob)
	alice.roundTrip()
	goAway(t, h, "alice", alice)
	for _, f := range alice.seen {
		if r, ok := f.(*schemas.Delivered); ok {
			t.Errorf("the sender got %+v", r)
		}
	}
	alice = h.reconnect("alice", alice.welcome.DeviceID, "")
	alice.seen = nil
	want[*schemas.InboxDrained](alice)
	for _, f := range alice.seen {
		t.Errorf("the sender was away and got %+v", f)
	}
	if got := h.reconnect("bob", bob.welcome.DeviceID, "").backlog(); len(got) != 0 {
		t.Errorf("%s is still in the inbox", before.MessageID)
	}
}

// A block made at one gateway holds at the others.
func TestBlockAtAnotherGateway(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h, other := joinHouse(t, nats), joinHouse(t, nats)
	alice, bob := other.connect("alice"), h.connect("bob")
	alice.tell("bob", "before") // so that the other gateway knows bob
	bob.take()
	h.block("bob", "alice")
	eventually(t, "the other gateway knows of the block", func() bool {
		p, err := other.conn.Directory().User(h.ctx(), "bob")
		return err == nil && p.Blocks("alice")
	})
	alice.tell("bob", "while blocked")
	h.connect("carol").tell("bob", "hello")
	if m := bob.take(); m.Content != "hello" {
		t.Errorf("the blocker got %q", m.Content)
	}
}

func TestBlockedSeeNoStatus(t *testing.T) {
	h := newHouse(t)
	h.connect("bob")
	state := func() string {
		t.Helper()
		_, a := h.call("alice", "GET", "/user/bob/status", "")
		return string(a.Data)
	}
	eventually(t, "bob is online", func() bool { return state() != `{"connection_state":"offline"}` })
	h.block("bob", "alice")
	if got := state(); got != `{"connection_state":"offline"}` {
		t.Errorf("a blocked person sees %s", got)
	}
	h.unblock("bob", "alice")
	for end := time.Now().Add(streamstest.Timeout); state() == `{"connection_state":"offline"}`; {
		if time.Now().After(end) {
			t.Fatal("unblocked, and still hidden")
		}
	}
}
