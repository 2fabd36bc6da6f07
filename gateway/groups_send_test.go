package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"roost/gateway"
	"roost/schemas"
	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/publisher"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// makeLarge makes a group whose members have two devices each, none of them
// connected, and returns all of their inboxes.
func makeLarge(h *house, members int) (schemas.GroupID, []subject.Address) {
	h.t.Helper()
	to := make([]subject.Address, 2*members)
	users := make([]schemas.UserID, members)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 32)
	for i := range members {
		users[i] = schemas.UserID(fmt.Sprintf("member-%04d", i))
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := h.conn.Directory().EnsureUser(context.Background(), users[i]); err != nil {
				h.t.Error(err)
			}
			for k := range 2 {
				d := schemas.Device{DeviceID: schemas.DeviceID(h.conn.Clock().NextULID()), Name: "test", CreatedAt: schemas.Now(), LastActive: schemas.Now()}
				if _, err := h.conn.Directory().AddDevice(context.Background(), users[i], d, 3); err != nil {
					h.t.Error(err)
				}
				to[2*i+k] = subject.Address{User: users[i], Device: d.DeviceID}
			}
		})
	}
	wg.Wait()
	return h.makeGroup(users[0], users[1:]...), to
}

// TestLargeGroupUnderLoad: several members of a group of 1,024 with two devices
// each send at once more than the streams let wait. All of it is accepted, by and
// by, and is in every inbox once.
func TestLargeGroupUnderLoad(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	id, to := makeLarge(h, schemas.DefaultGroupMembers)
	const senders, each = 4, 4 // of 2,047 copies each
	var sending []*device
	for i := range senders {
		d := h.reconnect(to[2*i].User, to[2*i].Device, "")
		sending = append(sending, d)
	}
	reader := h.reconnect(to[100].User, to[100].Device, "")
	content := func(n schemas.ClientMessageID) string { return fmt.Sprint("number ", n) }
	for _, d := range sending {
		for range each {
			d.shout(id, content(d.next))
		}
	}
	var accepted []schemas.MessageID
	for _, d := range sending {
		for range each {
			f := d.acceptedAtLast(id, content)
			if f == nil {
				t.Fatal("a send was not accepted")
			}
			accepted = append(accepted, f.MessageID)
		}
	}
	got := make(map[schemas.MessageID]int)
	for range accepted {
		got[reader.take().MessageID]++
	}
	reader.roundTrip()
	for _, m := range accepted {
		if got[m] != 1 {
			t.Errorf("the reader got %s %d times", m, got[m])
		}
	}
	first, last := slices.Min(accepted), slices.Max(accepted)
	away := slices.DeleteFunc(to, func(a subject.Address) bool { // those who are connected may have acknowledged
		return a == to[100] || slices.ContainsFunc(sending, func(d *device) bool { return d.welcome.DeviceID == a.Device })
	})
	for m, to := range map[schemas.MessageID][]subject.Address{first: away[:100], last: away} {
		missing, err := h.conn.Missing(h.ctx(), m, m.Time().Time(), to)
		if err != nil || len(missing) != 0 {
			t.Errorf("%d inboxes lack %s (%v)", len(missing), m, err)
		}
	}
}

// record puts a send on record and stores no copy of it, as where the gateway died
// between the two.
func (h *house) record(from subject.Address, frame *schemas.SendMessage) schemas.SendRecord {
	h.t.Helper()
	draft := frame.Draft()
	rec := schemas.SendRecord{MessageIDByClient: frame.MessageIDByClient, MessageID: h.conn.Clock().Next(), ContentHash: draft.Hash()}
	recorded := make(chan publisher.Outcome, 1)
	if err := h.conn.SendLog().Record(from, rec, func(o publisher.Outcome) { recorded <- o }); err != nil {
		h.t.Fatal(err)
	}
	if o := <-recorded; o.Err != nil {
		h.t.Fatal(o.Err)
	}
	return rec
}

// TestRetryInAGroup: a send that is on record, and that a part of the inboxes have,
// goes to the others; not to who joined meanwhile.
func TestRetryInAGroup(t *testing.T) {
	h, other := pairOfHouses(t)
	alice, bob, carol := h.connect("alice"), other.connect("bob"), h.connect("carol")
	id := h.makeGroup("alice", "bob", "carol")
	frame := &schemas.SendMessage{GroupID: id, Content: "once", MessageIDByClient: 1, Timestamp: 1}
	rec := h.record(addr("alice", alice), frame)
	m := &schemas.Message{MessageID: rec.MessageID, SenderID: "alice", GroupID: id, Content: "once", Timestamp: rec.MessageID.Time(),
		SenderDeviceID: alice.welcome.DeviceID, MessageIDByClient: 1}
	stored := make(chan error, 1)
	h.conn.CommitCopies(streams.Copies{Message: m, Entry: m.StoredMessage(), To: []subject.Address{addr("bob", bob)}},
		func(_ []uint64, err error) { stored <- err })
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	dave := h.connect("dave")
	h.add("alice", id, "dave")
	alice.send(frame)
	if got := want[*schemas.MessageReceived](alice); got.MessageID != rec.MessageID {
		t.Errorf("got %+v, want the first id %s", got, rec.MessageID)
	}
	for name, d := range map[string]*device{"bob": other.reconnect("bob", bob.welcome.DeviceID, ""), "carol": h.reconnect("carol", carol.welcome.DeviceID, "")} {
		if got := d.backlog(); len(got) != 1 || got[0].MessageID != rec.MessageID {
			t.Errorf("%s has %d messages, want the one", name, len(got))
		}
	}
	alice.next = 2
	alice.shout(id, "next")
	if m := dave.take(); m.Content != "next" {
		t.Errorf("dave, who joined later, got %q", m.Content)
	}
}

// TestMembersWithoutADevice: what a group hears waits for each of them.
func TestMembersWithoutADevice(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	alice.shout(id, "hello, all")
	want[*schemas.MessageReceived](alice)
	for _, u := range []schemas.UserID{"bob", "carol", "dave"} {
		d := h.connect(u)
		if got := d.backlog(); len(got) != 1 || got[0].Content != "hello, all" {
			t.Errorf("%s got %d messages, want the one", u, len(got))
		}
		d.leave()
		if got := h.reconnect(u, d.welcome.DeviceID, "").entries(); got != 2 {
			t.Errorf("%s has %d entries, want an update and a message", u, got)
		}
	}
}

// entries counts what comes up to inbox_drained.
func (d *device) entries() (n int) {
	d.t.Helper()
	for {
		f, err := d.read()
		if err != nil {
			d.t.Fatal(err)
		}
		switch f.(type) {
		case *schemas.Incoming, *schemas.GroupUpdate:
			n++
		case *schemas.InboxDrained:
			return n
		}
	}
}

// TestFullInboxInAGroup: it refuses messages, as in a chat of two, and no changes.
func TestFullInboxInAGroup(t *testing.T) {
	h := furnish(t, streamstest.Server(t, t.TempDir()), streams.Topology{InboxMaxMessages: 2})
	alice, bob := h.connect("alice"), h.connect("bob")
	id := h.makeGroup("alice", "bob")
	alice.wantUpdates("alice created")
	goAway(t, h, "bob", bob)
	alice.shout(id, "fits")
	want[*schemas.MessageReceived](alice)
	n := alice.shout(id, "does not")
	if e := alice.wantError(schemas.CodeInboxFull); e.MessageIDByClient != n {
		t.Errorf("got %+v", e)
	}
	h.remove("alice", id, "bob")
	alice.wantUpdates("alice removed bob")
	alice.send(&schemas.SendMessage{GroupID: id, Content: "does not", MessageIDByClient: n, Timestamp: 1})
	want[*schemas.MessageReceived](alice)
	if got := h.reconnect("bob", bob.welcome.DeviceID, "").backlog(); len(got) != 1 || got[0].Content != "fits" {
		t.Errorf("bob got %d messages", len(got))
	}
}

// fillInbox has a device's inbox hold all that it may, which is given.
func (d *device) fillInbox(of schemas.UserID, n int) {
	d.t.Helper()
	for i := range n {
		d.tell(of, fmt.Sprint("fills ", i))
	}
}

// TestForgottenDeviceWithAFullInbox: it is removed by the next message, of one person or
// to a group, and holds up nobody; what was the last device leaves the message to the
// next one. A device that was used lately stays.
func TestForgottenDeviceWithAFullInbox(t *testing.T) {
	const room = 20
	h := furnish(t, streamstest.Server(t, t.TempDir()), streams.Topology{InboxMaxMessages: room}, func(o *gateway.Options) { o.FullInboxIdle = 48 * time.Hour })
	alice, carol := h.connect("alice"), h.connect("carol")
	h.token("bob")
	id := h.makeGroup("alice", "carol")
	for i, to := range []string{"person", "group"} {
		tablet := h.connect("bob")
		if to == "group" {
			h.add("alice", id, "bob")
		}
		goAway(t, h, "bob", tablet)
		alice.fillInbox("bob", room-i) // besides the update of the group
		send := func(content string) schemas.ClientMessageID {
			if to == "group" {
				return alice.shout(id, content)
			}
			return alice.say("bob", content)
		}
		n := send("goes on")
		if e := alice.wantError(schemas.CodeInboxFull); e.MessageIDByClient != n {
			t.Errorf("got %+v", e)
		}
		if _, err := h.conn.Directory().ChangeDevice(h.ctx(), addr("bob", tablet), func(d *schemas.Device) {
			d.CreatedAt = schemas.TimestampOf(time.Now().Add(-49 * time.Hour))
			d.LastActive = d.CreatedAt
		}); err != nil {
			t.Fatal(err)
		}
		n = send("goes on again")
		alice.accepted(n)
		back := h.dial()
		back.send(&schemas.Hello{Token: h.token("bob"), DeviceID: tablet.welcome.DeviceID})
		back.wantError(schemas.CodeDeviceRemoved)
		back.wantClose(schemas.CloseDeviceRemoved)
		next := h.connect("bob")
		if got := next.backlog(); len(got) != 1 || got[0].Content != "goes on again" {
			t.Errorf("to a %s: the next device got %d messages", to, len(got))
		}
		next.leave()
		if _, err := h.conn.RemoveDevice(h.ctx(), addr("bob", next)); err != nil {
			t.Fatal(err)
		}
	}
	for _, content := range []string{"goes on", "goes on again"} {
		if m := carol.take(); m.Content != content {
			t.Errorf("carol got %q, not %q", m.Content, content)
		}
	}
	if n := counter(t, h.reg, "roost_gateway_devices_deactivated_total"); n != 2 {
		t.Errorf("%v devices were counted, not 2", n)
	}
}

// TestFullInboxOfNobodysDevice: who has no device keeps the first messages of a group,
// and holds up nobody. What one person sends them is refused.
func TestFullInboxOfNobodysDevice(t *testing.T) {
	const room = 20
	h := furnish(t, streamstest.Server(t, t.TempDir()), streams.Topology{InboxMaxMessages: room})
	h.token("bob")
	alice, carol := h.connect("alice"), h.connect("carol")
	id := h.makeGroup("alice", "bob", "carol")
	carol.wantUpdates("alice created")
	alice.fillInbox("bob", room-1)
	for i := range 3 {
		alice.accepted(alice.shout(id, fmt.Sprint(i)))
		if m := carol.take(); m.Content != fmt.Sprint(i) {
			t.Errorf("carol got %q", m.Content)
		}
	}
	alice.say("bob", "to you alone")
	alice.wantError(schemas.CodeInboxFull)
	if got := h.connect("bob").backlog(); len(got) != room-1 || got[room-2].Content != fmt.Sprint("fills ", room-2) {
		t.Errorf("bob got %d messages", len(got))
	}
	if n := counter(t, h.reg, "roost_gateway_copies_skipped_total"); n != 3 {
		t.Errorf("%v copies were counted, not 3", n)
	}
}

// BenchmarkSendToLargeGroup is a message to 1,024 members with two devices each,
// from send_message to message_received: 2,047 copies on disk.
func BenchmarkSendToLargeGroup(b *testing.B) {
	nats := streamstest.Server(b, b.TempDir(), func(o *embedded.Options) { o.SyncInterval = 0 })
	h := furnish(b, nats, streams.Topology{InboxMaxMessages: 1 << 20}, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	id, to := makeLarge(h, schemas.DefaultGroupMembers)
	sender := h.reconnect(to[0].User, to[0].Device, "")
	started := time.Now()
	n := 0
	for b.Loop() {
		sender.shout(id, "hello, all of you who are members of this group")
		want[*schemas.MessageReceived](sender)
		n++
	}
	b.ReportMetric(float64(n*(len(to)-1))/time.Since(started).Seconds(), "copies/s")
}
