package gateway_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roost/gateway"
	"roost/schemas"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// receiptsOf is GET /groups/{group_id}/receipts.
func (h *house) receiptsOf(as schemas.UserID, id schemas.GroupID, m schemas.MessageID) schemas.GroupReceipts {
	h.t.Helper()
	return data[schemas.GroupReceipts](h.t, h.must(as, "GET", "/groups/"+string(id)+"/receipts?message_id="+string(m), ""))
}

// count is how many got and read a message, of how many: "2/1 of 3".
func (h *house) count(as schemas.UserID, id schemas.GroupID, m schemas.MessageID) string {
	h.t.Helper()
	r := h.receiptsOf(as, id, m)
	return fmt.Sprintf("%d/%d of %d", r.Delivered, r.Read, r.Members)
}

// absent registers a device that is away.
func (h *house) absent(u schemas.UserID) schemas.DeviceID {
	h.t.Helper()
	d := h.connect(u)
	goAway(h.t, h, u, d)
	return d.welcome.DeviceID
}

// missed is what a device of a user is shown of groups when it connects.
func (h *house) missed(u schemas.UserID, id schemas.DeviceID) (items []schemas.ReceiptItem) {
	h.t.Helper()
	d := h.reconnect(u, id, "")
	d.roundTrip() // receipts stand before everything that is asked for
	for _, f := range seen[*schemas.Receipts](d) {
		if len(f.Items) > schemas.MaxReceiptItems {
			h.t.Errorf("%d receipts in a frame", len(f.Items))
		}
		for _, item := range f.Items {
			if item.Chat != string(item.UserID) {
				items = append(items, item)
			}
		}
	}
	goAway(h.t, h, u, d)
	return items
}

// In a group of more than 64 members nothing is shown live or to who was away, and
// the counts say it; in one of 64 it is.
func TestReceiptsOfALargeGroup(t *testing.T) {
	h := newHouse(t)
	alice, bob, phone := h.connect("alice"), h.connect("bob"), h.connect("bob")
	tablet := h.absent("alice")
	members := []schemas.UserID{"bob"}
	for i := len(members) + 1; i < schemas.MaxReceiptMembers+1; i++ {
		members = append(members, schemas.UserID(fmt.Sprint("member-", i)))
	}
	id := h.makeGroup("alice", members...)
	first := alice.tellGroup(id, "to all 65").MessageID
	bob.take()
	bob.send(&schemas.Read{MessageID: first, SenderID: "alice", GroupID: id})
	if got := want[*schemas.ReadBy](phone); got.MessageID != first || got.GroupID != id {
		t.Errorf("the reader's other device got %+v", got)
	}
	bob.send(&schemas.TypingNotice{GroupID: id})
	bob.roundTrip()
	eventually(t, "the counts", func() bool { return h.count("alice", id, first) == "1/1 of 64" })
	alice.roundTrip()
	for _, f := range alice.seen {
		switch f.(type) {
		case *schemas.Delivered, *schemas.ReadBy, *schemas.Typing:
			t.Errorf("shown in a group of 65: %+v", f)
		}
	}
	if got := h.missed("alice", tablet); len(got) != 0 {
		t.Errorf("who was away is shown %+v", got)
	}

	h.remove("alice", id, members[len(members)-1])
	second := alice.tellGroup(id, "to all 64").MessageID
	bob.take()
	bob.send(&schemas.Read{MessageID: second, SenderID: "alice", GroupID: id})
	if got := want[*schemas.Delivered](alice); got.MessageID != second || got.UserID != "bob" {
		t.Errorf("got %+v", got)
	}
	if got := want[*schemas.ReadBy](alice); got.MessageID != second || got.UserID != "bob" {
		t.Errorf("got %+v", got)
	}
	phone.send(&schemas.TypingNotice{GroupID: id})
	want[*schemas.Typing](alice)
}

// Counted is who was a member when the message was sent and is one still, besides
// who asks.
func TestReceiptsCountWhomItWentTo(t *testing.T) {
	h := newHouse(t)
	alice, bob, carol := h.connect("alice"), h.connect("bob"), h.connect("carol")
	phone, tablet := h.absent("alice"), h.absent("alice")
	id := h.makeGroup("alice", "bob", "dave")
	first := alice.tellGroup(id, "1").MessageID
	if got := bob.take(); got.MessageID != first {
		t.Fatalf("got %+v", got)
	}
	bob.send(&schemas.Read{MessageID: first, SenderID: "alice", GroupID: id})
	want[*schemas.ReadBy](alice)
	eventually(t, "bob's receipt", func() bool { return h.count("alice", id, first) == "1/1 of 2" })
	if got := h.missed("alice", phone); len(got) != 1 || got[0].UserID != "bob" {
		t.Errorf("who was away is shown %+v", got)
	}

	h.add("alice", id, "carol")
	second := alice.tellGroup(id, "2").MessageID
	if got := carol.take(); got.MessageID != second {
		t.Fatalf("got %+v", got)
	}
	carol.send(&schemas.Read{MessageID: second, SenderID: "alice", GroupID: id})
	want[*schemas.ReadBy](alice)
	eventually(t, "carol's receipt", func() bool { return h.count("alice", id, second) == "1/1 of 3" })
	if got := h.count("alice", id, first); got != "1/1 of 2" {
		t.Errorf("carol, who joined later, is counted: %s", got)
	}
	if got := h.count("carol", id, second); got != "0/0 of 3" {
		t.Errorf("carol counts %s; she is no receiver to herself, and alice and dave have no receipt", got)
	}

	h.remove("alice", id, "bob")
	if got := h.count("alice", id, first); got != "0/0 of 1" {
		t.Errorf("bob, who was removed, is counted: %s", got)
	}
	h.add("alice", id, "bob")
	if got := h.count("alice", id, first); got != "0/0 of 1" {
		t.Errorf("bob, who came back later, is counted: %s", got)
	}
	alice.tellGroup(id, "3") // the gateway's group is of now
	if got := h.missed("alice", tablet); len(got) != 1 || got[0].UserID != "carol" {
		t.Errorf("who was away is shown receipts of before bob came back: %+v", got)
	}
}

// Who was added is not shown receipts of messages from before.
func TestReceiptsFromBeforeOneWasAdded(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	tablet := h.absent("carol")
	id := h.makeGroup("alice", "bob")
	m := alice.tellGroup(id, "before carol").MessageID
	bob.take()
	bob.send(&schemas.Read{MessageID: m, SenderID: "alice", GroupID: id})
	eventually(t, "bob's receipt", func() bool { return h.count("alice", id, m) == "1/1 of 1" })
	h.add("alice", id, "carol")
	alice.tellGroup(id, "to carol too")
	if got := h.missed("carol", tablet); len(got) != 0 {
		t.Errorf("she is shown %+v", got)
	}
}

// Who was away is shown the receipts of the others who are members now.
func TestReceiptsOfWhoIsAMemberNow(t *testing.T) {
	h := newHouse(t)
	tablet := h.absent("alice")
	id := h.makeGroup("alice", "bob", "carol")
	mark := schemas.Watermark{DeliveredUpTo: h.conn.Clock().Next()}
	for _, u := range []schemas.UserID{"alice", "bob", "carol"} {
		if err := h.conn.Receipts().AdvanceInGroup(h.ctx(), id, u, mark); err != nil {
			t.Fatal(err)
		}
	}
	h.remove("alice", id, "carol")
	h.count("alice", id, mark.DeliveredUpTo) // the gateway's group is of now
	if got := h.missed("alice", tablet); len(got) != 1 || got[0].UserID != "bob" {
		t.Errorf("got %+v", got)
	}
}

// A gateway that knows the group from before somebody was added does not keep them
// out.
func TestReceiptsOfSomebodyAddedElsewhere(t *testing.T) {
	h, other := pairOfHouses(t)
	alice, bob, carol := h.connect("alice"), other.connect("bob"), other.connect("carol")
	id := h.makeGroup("alice", "bob")
	bob.send(&schemas.TypingNotice{GroupID: id}) // the gateway knows the group then
	want[*schemas.Typing](alice)
	h.add("alice", id, "carol")
	eventually(t, "carol is let in", func() bool { // a second later at most
		carol.send(&schemas.Read{MessageID: h.conn.Clock().Next(), SenderID: "alice", GroupID: id})
		carol.raw(websocket.MessageText, []byte(`{"type":"no_such_frame"}`))
		refused := want[*schemas.ErrorFrame](carol).Code == schemas.CodeNotAMember
		if refused {
			carol.wantError(schemas.CodeUnknownType)
		}
		return !refused
	})
	if got := want[*schemas.ReadBy](alice); got.UserID != "carol" {
		t.Errorf("got %+v", got)
	}
}

// Three devices of each of two members acknowledge and read the same messages at
// once: the sender hears of each member once, and the watermark is the newest.
func TestGroupReceiptsFromManyDevicesAtOnce(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	readers := make(map[schemas.UserID][]*device)
	for _, u := range []schemas.UserID{"bob", "carol"} {
		readers[u] = []*device{h.connect(u), h.connect(u), h.connect(u)}
	}
	id := h.makeGroup("alice", "bob", "carol")
	const n = 30
	var ids []schemas.MessageID
	for i := range n {
		ids = append(ids, alice.tellGroup(id, fmt.Sprint(i)).MessageID)
	}
	var devices sync.WaitGroup
	for _, three := range readers {
		for _, d := range three {
			for range n {
				want[*schemas.Incoming](d)
			}
		}
	}
	for _, three := range readers {
		for _, d := range three {
			devices.Go(func() {
				for _, m := range ids {
					d.ack(m)
					d.send(&schemas.Read{MessageID: m, SenderID: "alice", GroupID: id})
				}
			})
		}
	}
	devices.Wait()
	for _, three := range readers {
		for _, d := range three {
			d.roundTrip()
		}
	}
	told := make(map[string]int)
	for len(told) < len(readers)*n {
		r := want[*schemas.Delivered](alice)
		told[string(r.UserID)+string(r.MessageID)]++
	}
	alice.roundTrip()
	for _, r := range seen[*schemas.Delivered](alice) {
		told[string(r.UserID)+string(r.MessageID)]++
	}
	for u := range readers {
		for _, m := range ids {
			if got := told[string(u)+string(m)]; got != 1 {
				t.Errorf("%s of %s: told %d times", m, u, got)
			}
		}
	}
	last := ids[n-1]
	eventually(t, "the newest watermarks", func() bool { return h.count("alice", id, last) == "2/2 of 2" })
	for _, item := range h.receiptsOf("alice", id, last).Items {
		if item.DeliveredUpTo != last || item.ReadUpTo != last {
			t.Errorf("got %+v, want both %s", item, last)
		}
	}
}

// What two devices of a member read at once is told once.
func TestGroupReadIsToldOnce(t *testing.T) {
	h := newHouse(t, slowReads)
	alice, bob, phone := h.connect("alice"), h.connect("bob"), h.connect("bob")
	id := h.makeGroup("alice", "bob")
	m := alice.tellGroup(id, "x").MessageID
	for _, d := range []*device{bob, phone, bob} {
		d.send(&schemas.Read{MessageID: m, SenderID: "alice", GroupID: id})
		d.roundTrip()
	}
	want[*schemas.ReadBy](alice)
	alice.roundTrip()
	if got := seen[*schemas.ReadBy](alice); len(got) != 0 {
		t.Errorf("again: %+v", got)
	}
}

// Off on either side, nothing of what is read is shown: live, counted or to who was
// away; what is delivered is. The reader's own devices hear all the same.
func TestGroupReadReceiptsOff(t *testing.T) {
	for _, who := range []schemas.UserID{"alice", "bob"} {
		t.Run(string(who), func(t *testing.T) {
			h := newHouse(t)
			alice, bob, other := h.connect("alice"), h.connect("bob"), h.connect("bob")
			tablet := h.absent("alice")
			id := h.makeGroup("alice", "bob", "carol")
			bob.wantUpdates("alice created") // else it stands before the message in the inbox
			h.changeSettings(who, `{"read_receipts":false}`)
			m := alice.tellGroup(id, "x").MessageID
			bob.take()
			bob.send(&schemas.Read{MessageID: m, SenderID: "alice", GroupID: id})
			if got := want[*schemas.ReadBy](other); got.MessageID != m || got.GroupID != id {
				t.Errorf("the reader's other device got %+v", got)
			}
			bob.roundTrip()
			goAway(t, h, "bob", bob) // his receipts are durable
			want[*schemas.Delivered](alice)
			alice.roundTrip()
			if got := seen[*schemas.ReadBy](alice); len(got) != 0 {
				t.Errorf("live: %+v", got)
			}
			if got := h.count("alice", id, m); got != "1/0 of 2" {
				t.Errorf("counted: %s", got)
			}
			if who == "bob" { // what was read while off is never told
				h.changeSettings(who, `{"read_receipts":true}`)
				if got := h.count("alice", id, m); got != "1/0 of 2" {
					t.Errorf("counted later: %s", got)
				}
			}
			if got := h.missed("alice", tablet); len(got) != 1 || got[0].DeliveredUpTo != m || got[0].ReadUpTo != "" {
				t.Errorf("who was away is shown %+v", got)
			}
		})
	}
}

// What somebody read before they switched read receipts off is hidden, too, from
// who was away.
func TestGroupReadsOfBeforeTheyWereSwitchedOff(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	tablet := h.absent("alice")
	id := h.makeGroup("alice", "bob")
	m := alice.tellGroup(id, "x").MessageID
	bob.take()
	bob.send(&schemas.Read{MessageID: m, SenderID: "alice", GroupID: id})
	eventually(t, "bob's receipt", func() bool { return h.count("alice", id, m) == "1/1 of 1" })
	h.changeSettings("bob", `{"read_receipts":false}`)
	if got := h.count("alice", id, m); got != "1/0 of 1" {
		t.Errorf("counted: %s", got)
	}
	if got := h.missed("alice", tablet); len(got) != 1 || got[0].DeliveredUpTo != m || got[0].ReadUpTo != "" {
		t.Errorf("who was away is shown %+v", got)
	}
}

// A device that was away is shown the receipts of 50 of its user's groups.
func TestReceiptsOfManyGroups(t *testing.T) {
	h := newHouse(t)
	tablet := h.absent("alice")
	for range schemas.MaxReceiptGroups + 2 {
		id := h.makeGroup("alice", "bob", "carol", "dave")
		mark := schemas.Watermark{DeliveredUpTo: h.conn.Clock().Next()}
		for _, u := range []schemas.UserID{"bob", "carol", "dave"} {
			if err := h.conn.Receipts().AdvanceInGroup(h.ctx(), id, u, mark); err != nil {
				t.Fatal(err)
			}
		}
	}
	groups, items := make(map[string]bool), h.missed("alice", tablet)
	for _, item := range items {
		groups[item.Chat] = true
	}
	if len(items) != 3*schemas.MaxReceiptGroups {
		t.Errorf("%d receipts", len(items))
	}
	if len(groups) != schemas.MaxReceiptGroups {
		t.Errorf("shown are the receipts of %d groups, not %d", len(groups), schemas.MaxReceiptGroups)
	}
}

// Large groups, of which nothing is shown, take no place of the small ones.
func TestReceiptsOfASmallGroupAmongLargeOnes(t *testing.T) {
	h := newHouse(t)
	tablet := h.absent("alice")
	var many []schemas.UserID
	for i := range schemas.MaxReceiptMembers {
		many = append(many, schemas.UserID(fmt.Sprint("member-", i)))
	}
	if err := exist(h, append(many, "alice")); err != nil {
		t.Fatal(err)
	}
	for range schemas.MaxReceiptGroups {
		if _, err := h.conn.Groups().Create(h.ctx(), schemas.Request{}, "alice", schemas.NewGroup{GroupName: "large", Members: many}); err != nil {
			t.Fatal(err)
		}
	}
	id := h.makeGroup("alice", "bob")
	mark := schemas.Watermark{DeliveredUpTo: h.conn.Clock().Next()}
	if err := h.conn.Receipts().AdvanceInGroup(h.ctx(), id, "bob", mark); err != nil {
		t.Fatal(err)
	}
	if got := h.missed("alice", tablet); len(got) != 1 || got[0].Chat != string(id) {
		t.Errorf("she is shown %+v", got)
	}
}

// A device that was away is shown what changed meanwhile, and not what it was
// connected for.
func TestGroupReceiptsOnlyOfMeanwhile(t *testing.T) {
	h := newHouse(t)
	tablet := h.absent("alice")
	id := h.makeGroup("alice", "bob")
	mark := schemas.Watermark{DeliveredUpTo: h.conn.Clock().Next()}
	if err := h.conn.Receipts().AdvanceInGroup(h.ctx(), id, "bob", mark); err != nil {
		t.Fatal(err)
	}
	since := schemas.Now().Time()
	for at, n := range map[int]int{-60_000: 1, +60_000: 0} { // ms
		items, err := h.conn.Groups().ReceiptChanges(h.ctx(), h.conn.Receipts().Changes((schemas.TimestampOf(since) + schemas.Timestamp(at)).Time()), "alice", 1)
		if err != nil || len(items) != n {
			t.Errorf("since %d ms: %v %v, want %d", at, items, err, n)
		}
	}
	if got := h.missed("alice", tablet); len(got) != 1 {
		t.Errorf("who was away is shown %+v", got)
	}
}

// What a device missed is in the receipts of a later connection: also what changed while
// it was connected, and what a connection that broke at once may not have brought. What
// one began with that lasted is not shown again.
func TestReceiptsThatWereMissed(t *testing.T) {
	h := newHouse(t)
	id := h.makeGroup("alice", "bob")
	// later has the last session of a device have begun and ended so many minutes later
	// than it did.
	later := func(a subject.Address, begun, ended schemas.Timestamp) {
		t.Helper()
		all, err := h.conn.Presence().Sessions(h.ctx(), []subject.Address{a})
		if err != nil || all[0].EndedAt == 0 {
			t.Fatalf("%+v, %v", all, err)
		}
		s := all[0]
		s.ConnectedAt, s.EndedAt = s.ConnectedAt+begun*60_000, s.EndedAt+ended*60_000
		kv, err := streamstest.JetStream(t, h.nats).KeyValue(h.ctx(), "SESSIONS")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Put(h.ctx(), a.User.Token()+"."+string(a.Device), schemas.Encode(s)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(m schemas.MessageID) {
		t.Helper()
		mark := schemas.Watermark{DeliveredUpTo: m, ReadUpTo: m}
		if err := h.conn.Receipts().Advance(h.ctx(), "alice", "bob", mark); err != nil {
			t.Fatal(err)
		}
		if err := h.conn.Receipts().AdvanceInGroup(h.ctx(), id, "bob", mark); err != nil {
			t.Fatal(err)
		}
	}
	shown := func(d schemas.DeviceID) (n int) {
		t.Helper()
		at := h.reconnect("alice", d, "")
		at.roundTrip()
		for _, f := range seen[*schemas.Receipts](at) {
			n += len(f.Items)
		}
		goAway(t, h, "alice", at)
		return n
	}
	tablet := subject.Address{User: "alice", Device: h.absent("alice")}
	read(h.conn.Clock().Next())
	later(tablet, 0, 10) // it was connected for 10 minutes, and not told
	if n := shown(tablet.Device); n != 2 {
		t.Errorf("%d receipts of while it was connected", n)
	}
	later(tablet, 20, 20) // long after, a connection that broke at once
	if n := shown(tablet.Device); n != 2 {
		t.Errorf("%d receipts behind a connection that broke", n)
	}
	later(tablet, 40, 40) // and one more
	if n := shown(tablet.Device); n != 2 {
		t.Errorf("%d receipts behind two connections that broke", n)
	}
	later(tablet, 60, 70) // one that lasted
	if n := shown(tablet.Device); n != 0 {
		t.Errorf("%d receipts behind a connection that lasted", n)
	}
}

// Somebody who was removed is shown no typing and no receipts any more, once the members
// are shown the removal: at whatever gateway the change was made, and whatever state of
// the group another one had read before.
func TestNothingIsShownToWhoWasRemoved(t *testing.T) {
	h, other := pairOfHouses(t)
	alice, bob, carol := h.connect("alice"), h.connect("bob"), other.connect("carol")
	id := h.makeGroup("alice", "bob", "carol")
	alice.wantUpdates("alice created")
	bob.wantUpdates("alice created")
	carol.wantUpdates("alice created")
	m := bob.tellGroup(id, "last words").MessageID
	want[*schemas.Incoming](carol)
	for _, d := range []*device{alice, carol} { // both gateways know the group
		d.send(&schemas.TypingNotice{GroupID: id})
		want[*schemas.Typing](bob)
	}
	h.remove("alice", id, "bob")
	bob.wantUpdates("alice removed bob")
	alice.wantUpdates("alice removed bob")
	carol.wantUpdates("alice removed bob")
	carol.ack(m)
	carol.send(&schemas.Read{MessageID: m, SenderID: "bob", GroupID: id})
	carol.roundTrip()
	time.Sleep(gateway.TypingEvery) // typing is passed on again
	for _, d := range []*device{alice, carol} {
		d.send(&schemas.TypingNotice{GroupID: id})
		d.roundTrip()
	}
	bob.seen = nil
	bob.roundTrip()
	for _, f := range bob.seen {
		t.Errorf("bob is shown %T %+v", f, f)
	}
	bob.send(&schemas.TypingNotice{GroupID: id})
	bob.wantError(schemas.CodeNotAMember)
}

// Live receipts go to the sender alone, whom the frame names or whose message is in
// flight in that group, and to no one who is no member.
func TestGroupReadGoesToTheSender(t *testing.T) {
	h := newHouse(t)
	alice, bob, carol, dave := h.connect("alice"), h.connect("bob"), h.connect("carol"), h.connect("dave")
	id := h.makeGroup("alice", "bob", "carol")
	m := alice.tellGroup(id, "in flight").MessageID
	want[*schemas.Incoming](bob)
	bob.send(&schemas.Read{MessageID: m, GroupID: id})
	if got := want[*schemas.ReadBy](alice); got.MessageID != m {
		t.Errorf("got %+v", got)
	}
	bob.send(&schemas.Read{MessageID: m}) // without the group: whose?
	bob.wantError(schemas.CodeInvalidArgument)
	direct := carol.tell("bob", "1:1")
	want[*schemas.Incoming](bob)
	bob.send(&schemas.Read{MessageID: direct.MessageID, GroupID: id}) // of another chat
	bob.send(&schemas.Read{MessageID: h.conn.Clock().Next(), SenderID: "dave", GroupID: id})
	bob.roundTrip()
	for name, d := range map[string]*device{"carol": carol, "dave": dave} {
		d.roundTrip()
		if got := seen[*schemas.ReadBy](d); len(got) != 0 {
			t.Errorf("%s got %+v", name, got)
		}
	}
}

// A sender who left the group hears no more of who has what they sent.
func TestGroupSenderWhoLeft(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := h.makeGroup("carol", "alice", "bob")
	m := alice.tellGroup(id, "last words").MessageID
	h.remove("alice", id, "alice")
	h.receiptsOf("carol", id, m) // so that the gateway's group is of now
	bob.take()
	bob.send(&schemas.Read{MessageID: m, SenderID: "alice", GroupID: id})
	bob.roundTrip()
	alice.roundTrip()
	for _, f := range alice.seen {
		switch f.(type) {
		case *schemas.Delivered, *schemas.ReadBy:
			t.Errorf("who left got %+v", f)
		}
	}
}

// Counts of a message that nobody has are of nobody; those of a group are for its
// members, and a read of the future is refused.
func TestGroupReceiptsRefused(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	id, foreign := h.makeGroup("alice", "bob"), h.makeGroup("dave", "carol")
	m := alice.tellGroup(id, "x").MessageID
	bob.take()
	later := schemas.MessageIDAt(schemas.Now() + 120_000)
	bob.send(&schemas.Read{MessageID: later, SenderID: "alice", GroupID: id})
	if e := bob.wantError(schemas.CodeInvalidArgument); e.Message[:len("message_id")] != "message_id" {
		t.Errorf("got %q, not of message_id", e.Message)
	}
	unknown := schemas.GroupID("g-" + h.conn.Clock().NextULID())
	for _, group := range []schemas.GroupID{foreign, unknown} {
		bob.send(&schemas.Read{MessageID: m, GroupID: group})
		bob.wantError(schemas.CodeNotAMember)
		bob.send(&schemas.TypingNotice{GroupID: group})
		bob.wantError(schemas.CodeNotAMember)
	}
	if got := h.count("alice", id, later); got != "0/0 of 1" {
		t.Errorf("an id that no message has: %s", got)
	}
	for path, want := range map[string]int{
		string(foreign) + "/receipts?message_id=" + string(m):        http.StatusForbidden,
		string(unknown) + "/receipts?message_id=" + string(m):        http.StatusNotFound,
		string(id) + "/receipts?message_id=nonsense":                 http.StatusBadRequest,
		"bob/receipts?message_id=" + string(m):                       http.StatusBadRequest,
		string(id) + "/receipts?message_id=&message_id=" + string(m): http.StatusBadRequest,
	} {
		if status, answer := h.call("alice", "GET", "/groups/"+path, ""); status != want {
			t.Errorf("GET /groups/%s: %d %+v, want %d", path, status, answer.Error, want)
		}
	}
}
