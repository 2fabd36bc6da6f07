package gateway_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// houseAt is a gateway whose clock of message ids is off.
func houseAt(t *testing.T, nats *embedded.Server, topology streams.Topology, off time.Duration) *house {
	t.Helper()
	conn := streamstest.Connect(t, nats, topology, func(o *streams.Options) {
		o.Now = func() time.Time { return time.Now().Add(off) }
	})
	return moveIn(t, nats, conn)
}

// ask asks for an update and returns without waiting for the answer.
func (d *device) ask(f schemas.UpdateMessage) schemas.ClientMessageID {
	d.t.Helper()
	f.MessageIDByClient, f.Timestamp = d.next, schemas.Now()
	d.next++
	d.send(&f)
	return f.MessageIDByClient
}

// updated is ask for what is accepted.
func (d *device) updated(f schemas.UpdateMessage) *schemas.MessageReceived {
	d.t.Helper()
	return d.accepted(d.ask(f))
}

func edit(to schemas.UserID, of schemas.MessageID, content string) schemas.UpdateMessage {
	return schemas.UpdateMessage{ReceiverID: to, TargetMessageID: of, Change: schemas.ChangeEdit, Content: content}
}

// Updates reach every device of both, in order with messages, and whoever was away.
func TestUpdates(t *testing.T) {
	eachConsumer(t, func(t *testing.T, h *house) {
		phone, tablet, bob := h.connect("alice"), h.connect("alice"), h.connect("bob")
		goAway(t, h, "bob", bob)
		id := phone.tell("bob", "hello").MessageID
		edited := phone.updated(edit("bob", id, "hello, Bob"))
		phone.tell("bob", "between")
		deleted := tablet.updated(schemas.UpdateMessage{ReceiverID: "bob", TargetMessageID: id, Change: schemas.ChangeDelete})
		if !(id < edited.MessageID && edited.MessageID < deleted.MessageID) {
			t.Errorf("%s, %s, %s do not increase", id, edited.MessageID, deleted.MessageID)
		}

		bob = h.reconnect("bob", bob.welcome.DeviceID, "")
		if m := bob.take(); m.MessageID != id || m.Content != "hello" || m.IsUpdate() {
			t.Errorf("the message is %+v", m)
		}
		e := want[*schemas.MessageUpdate](bob)
		want1 := schemas.Message{MessageID: edited.MessageID, SenderID: "alice", ReceiverID: "bob", Content: "hello, Bob", Timestamp: edited.Timestamp,
			SenderDeviceID: phone.welcome.DeviceID, MessageIDByClient: edited.MessageIDByClient, Change: schemas.ChangeEdit, TargetMessageID: id}
		if e.Message != want1 || e.Cursor == "" {
			t.Errorf("the edit is %+v, not %+v", e, want1)
		}
		bob.ack(e.MessageID)
		if m := bob.take(); m.Content != "between" {
			t.Errorf("%q stands before the deletion", m.Content)
		}
		d := want[*schemas.MessageUpdate](bob)
		if d.Change != schemas.ChangeDelete || d.TargetMessageID != id || d.Content != "" {
			t.Errorf("the deletion is %+v", d)
		}
		bob.ack(d.MessageID)

		reaction := bob.updated(schemas.UpdateMessage{ReceiverID: "alice", TargetMessageID: id, Change: schemas.ChangeReaction, Content: "👍"})
		for _, a := range []*device{phone, tablet} {
			for {
				u := want[*schemas.MessageUpdate](a)
				a.ack(u.MessageID)
				if u.MessageID == reaction.MessageID {
					if u.SenderID != "bob" || u.Content != "👍" || u.Change != schemas.ChangeReaction {
						t.Errorf("the reaction is %+v", u)
					}
					break
				}
			}
		}
		goAway(t, h, "bob", bob) // and removed what it acknowledged
		if got := h.reconnect("bob", bob.welcome.DeviceID, "").backlog(); len(got) != 0 {
			t.Errorf("%d messages are still in the inbox", len(got))
		}
	})
}

// The sender of an update hears that it arrived.
func TestUpdateDelivered(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := alice.tell("bob", "hello").MessageID
	bob.take()
	want[*schemas.Delivered](alice)
	edited := alice.updated(edit("bob", id, "hello, Bob"))
	bob.ack(want[*schemas.MessageUpdate](bob).MessageID)
	if d := want[*schemas.Delivered](alice); d.MessageID != edited.MessageID {
		t.Errorf("the receipt is for %s, not %s", d.MessageID, edited.MessageID)
	}
	edited = alice.updated(edit("bob", id, "hello again"))
	goAway(t, h, "alice", alice)
	bob.ack(want[*schemas.MessageUpdate](bob).MessageID)
	goAway(t, h, "bob", bob) // and what it acknowledged is removed
	alice = h.reconnect("alice", alice.welcome.DeviceID, "")
	if r := want[*schemas.Receipts](alice); len(r.Items) != 1 || r.Items[0].DeliveredUpTo != edited.MessageID {
		t.Errorf("who was away is shown %+v, not %s", r.Items, edited.MessageID)
	}
}

func TestUpdatesInAGroup(t *testing.T) {
	h, other := pairOfHouses(t)
	alice, bob := h.connect("alice"), other.connect("bob")
	group := h.makeGroup("alice", "bob")
	alice.send(&schemas.SendMessage{GroupID: group, Content: "hello", MessageIDByClient: 1, Timestamp: 1})
	alice.next = 2
	id := want[*schemas.MessageReceived](alice).MessageID
	alice.updated(schemas.UpdateMessage{GroupID: group, TargetMessageID: id, Change: schemas.ChangeEdit, Content: "hello, all"})
	if u := want[*schemas.MessageUpdate](bob); u.GroupID != group || u.TargetMessageID != id || u.Content != "hello, all" {
		t.Errorf("the edit is %+v", u)
	}
	// Bob's message at another gateway is not Alice's to delete, admin or not.
	bob.send(&schemas.SendMessage{GroupID: group, Content: "mine", MessageIDByClient: 1, Timestamp: 1})
	his := want[*schemas.MessageReceived](bob).MessageID
	alice.ask(schemas.UpdateMessage{GroupID: group, TargetMessageID: his, Change: schemas.ChangeDelete})
	alice.wantError(schemas.CodeForbidden)
	h.must("alice", "DELETE", "/groups/"+string(group)+"/members/bob", "")
	bob.next = 2
	bob.ask(schemas.UpdateMessage{GroupID: group, TargetMessageID: his, Change: schemas.ChangeDelete})
	bob.wantError(schemas.CodeNotAMember)
}

// What is refused changes nothing: the number is free, and nobody gets anything.
func TestUpdateRefused(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	h.connect("carol").leave()
	toBob, toCarol := alice.tell("bob", "hello").MessageID, alice.tell("carol", "hello").MessageID
	bob.take()
	fromBob := bob.tell("alice", "hi").MessageID
	alice.take()
	tests := []struct {
		name   string
		update schemas.UpdateMessage
		code   schemas.Code
	}{
		{"an edit of another's message", edit("bob", fromBob, "no"), schemas.CodeForbidden},
		{"a deletion of another's message", schemas.UpdateMessage{ReceiverID: "bob", TargetMessageID: fromBob, Change: schemas.ChangeDelete}, schemas.CodeForbidden},
		{"an edit in another chat", edit("bob", toCarol, "no"), schemas.CodeForbidden},
		{"an edit of no message", edit("bob", h.conn.Clock().Next(), "no"), schemas.CodeForbidden},
		{"a reaction to what is not there yet", schemas.UpdateMessage{ReceiverID: "bob", TargetMessageID: schemas.MessageIDAt(schemas.Now() + 3600_000),
			Change: schemas.ChangeReaction, Content: "👍"}, schemas.CodeInvalidArgument},
		{"an unknown receiver", edit("nobody", toBob, "no"), schemas.CodeUnknownReceiver},
		{"no group", schemas.UpdateMessage{GroupID: "g-01K73S8AC0GR0VPGR0VPGR0VPG", TargetMessageID: toBob, Change: schemas.ChangeDelete}, schemas.CodeNotAMember},
		{"an empty edit", edit("bob", toBob, ""), schemas.CodeInvalidArgument},
	}
	for _, tt := range tests {
		n := alice.ask(tt.update)
		if e := alice.wantError(tt.code); e.MessageIDByClient != n {
			t.Errorf("%s: the error is for number %d, not %d: %+v", tt.name, e.MessageIDByClient, n, e)
		}
		alice.next = n // it is free
	}
	alice.tell("bob", "next")
	if m := bob.take(); m.Content != "next" {
		t.Errorf("bob got %q", m.Content)
	}
	if all := updatesOf(bob); len(all) != 0 {
		t.Errorf("bob got %+v", all[0])
	}
}

// updatesOf are the updates that a device was sent and did not wait for.
func updatesOf(d *device) (all []*schemas.MessageUpdate) {
	for _, f := range d.seen {
		if u, ok := f.(*schemas.MessageUpdate); ok {
			all = append(all, u)
		}
	}
	return all
}

// The times are those in the ids, so they hold at whatever gateway and after a
// restart. A retry of what came in time comes in time.
func TestUpdateTooLate(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h := joinHouse(t, nats)
	minutes, days := houseAt(t, nats, streams.Topology{}, schemas.EditTime+time.Minute), houseAt(t, nats, streams.Topology{}, schemas.DeleteTime+time.Minute)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := alice.tell("bob", "hello").MessageID
	intime := edit("bob", id, "in time")
	accepted := alice.updated(intime)
	bob.take()
	first := want[*schemas.MessageUpdate](bob)

	alice = minutes.reconnect("alice", alice.welcome.DeviceID, "")
	intime.MessageIDByClient, intime.Timestamp = accepted.MessageIDByClient, 1
	alice.send(&intime)
	if again := want[*schemas.MessageReceived](alice); again.MessageID != first.MessageID {
		t.Errorf("the retry got %+v, not %s", again, first.MessageID)
	}
	alice.next = accepted.MessageIDByClient + 1
	alice.ask(edit("bob", id, "late"))
	alice.wantError(schemas.CodeTooLate)
	alice.updated(schemas.UpdateMessage{ReceiverID: "bob", TargetMessageID: id, Change: schemas.ChangeDelete})
	if u := want[*schemas.MessageUpdate](bob); u.Change != schemas.ChangeDelete {
		t.Errorf("bob got %+v", u)
	}
	next := alice.next
	alice = days.reconnect("alice", alice.welcome.DeviceID, "")
	alice.next = next
	alice.ask(schemas.UpdateMessage{ReceiverID: "bob", TargetMessageID: id, Change: schemas.ChangeDelete})
	alice.wantError(schemas.CodeTooLate)
	alice.updated(schemas.UpdateMessage{ReceiverID: "bob", TargetMessageID: id, Change: schemas.ChangeReaction, Content: "👍"})
}

// A retry gets the first id, another update under the number is a conflict, and so is
// a message with the same content.
func TestUpdateRetried(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := alice.tell("bob", "hello").MessageID
	bob.take()
	first := alice.updated(edit("bob", id, "again"))
	resend := func(f schemas.Send) {
		alice = h.reconnect("alice", alice.welcome.DeviceID, "")
		alice.send(f)
	}
	same := edit("bob", id, "again")
	same.MessageIDByClient, same.Timestamp = first.MessageIDByClient, 1
	resend(&same)
	if got := want[*schemas.MessageReceived](alice); got.MessageID != first.MessageID {
		t.Errorf("the retry got %+v", got)
	}
	same.Change = schemas.ChangeReaction
	resend(&same)
	alice.wantError(schemas.CodeConflict)
	resend(message("bob", "again", first.MessageIDByClient))
	alice.wantError(schemas.CodeConflict)
	bob.ack(want[*schemas.MessageUpdate](bob).MessageID)
	alice.next = first.MessageIDByClient + 1
	alice.tell("bob", "end")
	bob.take()
	if n := len(updatesOf(bob)); n != 0 {
		t.Errorf("bob got the update %d times more", n)
	}
}

// A blocked person's update is accepted and goes to their own devices alone.
func TestUpdateByTheBlocked(t *testing.T) {
	h := newHouse(t)
	phone, tablet, bob := h.connect("alice"), h.connect("alice"), h.connect("bob")
	id := phone.tell("bob", "hello").MessageID
	tablet.take()
	bob.take()
	h.block("bob", "alice")
	phone.updated(edit("bob", id, "edited"))
	if u := want[*schemas.MessageUpdate](tablet); u.Content != "edited" {
		t.Errorf("the other device got %+v", u)
	}
	h.unblock("bob", "alice")
	phone.tell("bob", "end")
	bob.take()
	if n := len(updatesOf(bob)); n != 0 {
		t.Errorf("the blocker got %d updates", n)
	}
}

// setDays is PUT /chats/{user_id}.
func (h *house) setDays(as, with schemas.UserID, days int) {
	h.t.Helper()
	h.must(as, "PUT", "/chats/"+string(with), fmt.Sprintf(`{"disappearing_days":%d}`, days))
}

func TestChatSettings(t *testing.T) {
	h, other := pairOfHouses(t)
	alice, tablet, bob := h.connect("alice"), other.connect("alice"), other.connect("bob")
	days := func(at *house, as, with schemas.UserID) int {
		t.Helper()
		return *data[schemas.ChatSettings](t, at.must(as, "GET", "/chats/"+string(with), "")).DisappearingDays
	}
	if n := days(h, "alice", "bob"); n != 0 {
		t.Errorf("%d days where nobody chose", n)
	}
	told := func(d *device, by, with schemas.UserID, days int) {
		t.Helper()
		u := want[*schemas.ChatUpdate](d)
		d.ack(u.MessageID)
		if u.ByUserID != by || u.UserID != with || u.DisappearingDays != days || u.Timestamp != u.MessageID.Time() {
			t.Errorf("the update is %+v", u)
		}
	}
	h.setDays("alice", "bob", 7)
	for _, d := range []*device{alice, tablet, bob} {
		told(d, "alice", "bob", 7)
	}
	m := alice.tell("bob", "for a week")
	if m.ExpiresAt != schemas.ExpiresAt(m.Timestamp, 7) {
		t.Errorf("the sender is told that it expires at %d", m.ExpiresAt)
	}
	for _, d := range []*device{bob, tablet} {
		if got := d.take(); got.ExpiresAt != m.ExpiresAt {
			t.Errorf("it expires at %d", got.ExpiresAt)
		}
	}
	// A deletion outlives the setting: its message may have been sent before it.
	if e := alice.updated(edit("bob", m.MessageID, "edited")); e.ExpiresAt == 0 {
		t.Errorf("the edit does not expire: %+v", e)
	}
	if d := alice.updated(schemas.UpdateMessage{ReceiverID: "bob", TargetMessageID: m.MessageID, Change: schemas.ChangeDelete}); d.ExpiresAt != 0 {
		t.Errorf("the deletion expires: %+v", d)
	}
	// The other's choice is newer; both are of the chat.
	other.setDays("bob", "alice", 1)
	told(bob, "bob", "alice", 1)
	told(alice, "bob", "alice", 1)
	eventually(t, "both gateways know of the newer choice", func() bool {
		return days(h, "alice", "bob") == 1 && days(other, "bob", "alice") == 1
	})
	h.setDays("alice", "bob", 0)
	eventually(t, "and that it is over", func() bool { return days(other, "bob", "alice") == 0 })
	told(bob, "alice", "bob", 0)
	bob.tell("alice", "for good")
	if got := alice.take(); got.ExpiresAt != 0 {
		t.Errorf("it expires at %d", got.ExpiresAt)
	}

	for _, tt := range []struct {
		path, body string
		code       schemas.Code
	}{
		{"/chats/bob", `{"disappearing_days":2}`, schemas.CodeInvalidArgument},
		{"/chats/bob", `{}`, schemas.CodeInvalidArgument},
		{"/chats/g-x", `{"disappearing_days":1}`, schemas.CodeInvalidArgument},
		{"/chats/nobody", `{"disappearing_days":1}`, schemas.CodeNotFound},
	} {
		if _, a := h.call("alice", "PUT", tt.path, tt.body); a.Error == nil || a.Error.Code != tt.code {
			t.Errorf("PUT %s %s: %+v", tt.path, tt.body, a.Error)
		}
	}
	if status, _ := h.call("alice", "GET", "/chats/nobody", ""); status != http.StatusNotFound {
		t.Errorf("GET of an unknown user got %d", status)
	}
}

// The newer choice holds, also where the other one's gateway has a clock that is ahead.
func TestChatSettingsByAnotherClock(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h, ahead := joinHouse(t, nats), houseAt(t, nats, streams.Topology{}, time.Minute)
	h.token("alice")
	bob := h.connect("bob")
	ahead.setDays("bob", "alice", 1)
	eventually(t, "the other gateway knows of the choice", func() bool {
		p, err := h.conn.Directory().User(h.ctx(), "bob")
		return err == nil && len(p.Settings.Timers) == 1
	})
	ahead.setDays("alice", "bob", 1)
	eventually(t, "and of one's own", func() bool {
		p, err := h.conn.Directory().User(h.ctx(), "alice")
		return err == nil && len(p.Settings.Timers) == 1
	})
	h.setDays("alice", "bob", 7)
	settings := data[schemas.ChatSettings](t, h.must("alice", "GET", "/chats/bob", ""))
	if *settings.DisappearingDays != 7 {
		t.Errorf("%d days", *settings.DisappearingDays)
	}
	var before schemas.MessageID
	for range 3 {
		u := want[*schemas.ChatUpdate](bob)
		if u.MessageID <= before {
			t.Errorf("the update %+v is not larger than %s", u, before)
		}
		before = u.MessageID
	}
}

func TestChatLimit(t *testing.T) {
	h := newHouse(t)
	h.token("alice")
	h.token("bob")
	_, err := h.conn.Directory().ChangeSettings(h.ctx(), "alice", func(s schemas.Settings) schemas.Settings {
		for i := range schemas.MaxTimers {
			s, _ = s.SetTimer(schemas.ChatTimer{UserID: schemas.UserID(fmt.Sprint("u", i)), DisappearingDays: 1, Chosen: h.conn.Clock().Next()})
		}
		return s
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, a := h.call("alice", "PUT", "/chats/bob", `{"disappearing_days":1}`); a.Error == nil || a.Error.Code != schemas.CodeChatLimit {
		t.Errorf("%+v", a.Error)
	}
	h.token("u7")
	h.setDays("alice", "u7", 0)
	h.setDays("alice", "bob", 1)
}

// A blocker is not told, and the blocked person's choice is not refused.
func TestChatSettingsOfTheBlocked(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	h.block("bob", "alice")
	h.setDays("alice", "bob", 1)
	want[*schemas.ChatUpdate](alice)
	h.unblock("bob", "alice")
	alice.tell("bob", "end")
	bob.take()
	for _, f := range bob.seen {
		if u, ok := f.(*schemas.ChatUpdate); ok {
			t.Errorf("the blocker got %+v", u)
		}
	}
}

// What is due leaves the inbox of who was away, and the inbox that a first device
// gets, and a retry does not bring it back.
func TestDisappearing(t *testing.T) {
	const left = 4 * time.Second
	nats := streamstest.Server(t, t.TempDir())
	topology := streams.Topology{DuplicateWindow: 100 * time.Millisecond} // so that the stream knows no retry
	h := furnish(t, nats, topology)
	ago := houseAt(t, nats, topology, left-24*time.Hour)   // what is sent there is nearly a day old
	alice, bob := ago.connect("alice"), ago.connect("bob") // who have no device of a later clock
	goAway(t, ago, "bob", bob)
	h.token("carol") // has no device
	for _, with := range []schemas.UserID{"bob", "carol"} {
		ago.setDays("alice", with, 1)
	}
	for _, to := range []schemas.UserID{"bob", "carol"} {
		m := alice.tell(to, "for a moment")
		if age := schemas.Now() - m.Timestamp; age < schemas.Timestamp((23 * time.Hour).Milliseconds()) {
			t.Fatalf("it is %d ms old", age)
		}
	}
	carol := h.connect("carol") // and claims what waits
	if got := carol.backlog(); len(got) != 1 || got[0].ExpiresAt == 0 {
		t.Fatalf("carol's first device got %+v", got)
	}
	carol.leave()
	js := streamstest.JetStream(t, nats)
	const news = 4 // of the two timers, to both of each chat
	eventually(t, "the messages disappear", func() bool { return streamstest.Stored(t, js, "INBOX_0") == news })
	alice = ago.reconnect("alice", alice.welcome.DeviceID, "")
	ago.server.ForgetAccepted()
	alice.send(message("bob", "for a moment", 1))
	want[*schemas.MessageReceived](alice)
	if got := h.reconnect("bob", bob.welcome.DeviceID, "").backlog(); len(got) != 0 {
		t.Errorf("bob got %+v", got[0])
	}
	if got := h.reconnect("carol", carol.welcome.DeviceID, "").backlog(); len(got) != 0 {
		t.Errorf("carol got %+v", got[0])
	}
}

// What has disappeared is not delivered, though the stream has it for a moment more, and
// nobody is told that it was.
func TestDisappearedIsNotDelivered(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	goAway(t, h, "bob", bob)
	for i, expires := range []schemas.Timestamp{schemas.Now() - 1, 0} {
		m := &schemas.Message{MessageID: h.conn.Clock().Next(), SenderID: "alice", ReceiverID: "bob", Content: fmt.Sprint(i), Timestamp: 1, ExpiresAt: expires}
		done := make(chan error, 1)
		h.conn.CommitCopies(streams.Copies{Message: m, Entry: m.StoredMessage(), To: []subject.Address{addr("bob", bob)}}, func(_ []uint64, err error) { done <- err })
		if err := streamstest.Receive(t, done); err != nil {
			t.Fatal(err)
		}
	}
	bob = h.reconnect("bob", bob.welcome.DeviceID, "")
	if got := bob.backlog(); len(got) != 1 || got[0].Content != "1" {
		t.Errorf("bob got %+v", got)
	}
	alice.roundTrip()
	for _, f := range alice.seen {
		if d, ok := f.(*schemas.Delivered); ok {
			t.Errorf("alice is told %+v", d)
		}
	}
}

// A deletion for everyone goes to history whoever keeps some now.
func TestDeletionGoesToHistory(t *testing.T) {
	h := newHouse(t)
	js := streamstest.JetStream(t, h.nats)
	alice := h.connect("alice")
	group := h.makeGroup("alice", "bob")
	id := alice.tellGroup(group, "hello").MessageID
	if n := streamstest.Stored(t, js, "MESSAGES"); n != 0 {
		t.Fatalf("MESSAGES has %d, and nobody keeps history", n)
	}
	alice.updated(schemas.UpdateMessage{GroupID: group, TargetMessageID: id, Change: schemas.ChangeDelete})
	if n := streamstest.Stored(t, js, "MESSAGES"); n != 1 {
		t.Errorf("MESSAGES has %d, want the deletion", n)
	}
}

func TestDisappearingInAGroup(t *testing.T) {
	h := newHouse(t)
	if _, a := h.call("carol", "POST", "/groups", `{"group_name":"for a day","disappearing_days":1}`); data[schemas.GroupInfo](t, a).DisappearingDays != 1 {
		t.Errorf("a new group is %s", a.Data)
	}
	if _, a := h.call("carol", "POST", "/groups", `{"group_name":"for two","disappearing_days":2}`); a.Error == nil || a.Error.Code != schemas.CodeInvalidArgument {
		t.Errorf("2 days got %+v", a.Error)
	}
	alice, bob := h.connect("alice"), h.connect("bob")
	group := h.makeGroup("alice", "bob")
	want[*schemas.GroupUpdate](bob)
	if _, a := h.call("bob", "PATCH", "/groups/"+string(group), `{"disappearing_days":1}`); a.Error == nil || a.Error.Code != schemas.CodeForbidden {
		t.Errorf("a member got %+v", a.Error)
	}
	if _, a := h.call("alice", "PATCH", "/groups/"+string(group), `{"disappearing_days":3}`); a.Error == nil || a.Error.Code != schemas.CodeInvalidArgument {
		t.Errorf("3 days got %+v", a.Error)
	}
	h.must("alice", "PATCH", "/groups/"+string(group), `{"disappearing_days":90}`)
	if u := want[*schemas.GroupUpdate](bob); u.Change != schemas.GroupDisappearing || u.DisappearingDays != 90 || u.ByUserID != "alice" {
		t.Errorf("the update is %+v", u)
	}
	if g := data[schemas.GroupInfo](t, h.must("bob", "GET", "/groups/"+string(group), "")); g.DisappearingDays != 90 {
		t.Errorf("the group is %+v", g)
	}
	alice.send(&schemas.SendMessage{GroupID: group, Content: "hello", MessageIDByClient: 1, Timestamp: 1})
	m := want[*schemas.MessageReceived](alice)
	if got := want[*schemas.Incoming](bob); got.ExpiresAt != schemas.ExpiresAt(m.Timestamp, 90) {
		t.Errorf("it expires at %d", got.ExpiresAt)
	}
}
