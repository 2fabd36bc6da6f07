package gateway_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"roost/gateway"
	"roost/schemas"
	"roost/streams"
	"roost/streams/bus"
	"roost/streams/channel"
	"roost/streams/publisher"
	"roost/streams/streamstest"
)

// putInChannel commits messages to a channel, each a moment after the one before.
func putInChannel(t *testing.T, c *streams.Conn, id schemas.GroupID, text string, n int) (all []schemas.Message) {
	t.Helper()
	for i := range n {
		m := schemas.Message{MessageID: c.Clock().Next(), SenderID: "carol", GroupID: id, Content: fmt.Sprint(text, " ", i)}
		m.Timestamp = m.MessageID.Time()
		done := make(chan error, 1)
		c.Channels().Commit(channel.Send{Message: &m}, func(_ uint64, err error) { done <- err })
		if err := streamstest.Receive(t, done); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
		time.Sleep(2 * time.Millisecond) // pages go by milliseconds
	}
	return all
}

// allPages pages back to the beginning of a channel.
func (h *house) allPages(as schemas.UserID, id schemas.GroupID) (all []schemas.HistoryMessage) {
	h.t.Helper()
	for upTo := schemas.Timestamp(0); ; {
		page, known := h.chat(as, id, upTo), len(all)
		for _, m := range page {
			if !slices.ContainsFunc(all, func(o schemas.HistoryMessage) bool { return o.MessageID == m.MessageID }) {
				all = append(all, m)
			}
		}
		if len(all) == known {
			return all
		}
		upTo = page[len(page)-1].Timestamp
	}
}

// A send that is on record and comes again minutes later stands in its place, however
// much the channel has got meanwhile.
func TestChannelLateMessage(t *testing.T) {
	const slack = 200 * time.Millisecond
	nats := streamstest.Server(t, t.TempDir())
	ago := streamstest.Connect(t, nats, streams.Topology{}, func(o *streams.Options) {
		o.Now = func() time.Time { return time.Now().Add(-5 * time.Minute) }
	})
	late := func(o *gateway.Options) { small(o); o.ChannelSlack = slack }
	before, h := moveIn(t, nats, ago, late), joinHouse(t, nats, late)
	id := before.makeGroup("alice", "bob", "carol", "dave")
	alice := h.connect("alice")
	frame := &schemas.SendMessage{GroupID: id, Content: "late", MessageIDByClient: 1, Timestamp: 1}
	draft := frame.Draft()
	rec := schemas.SendRecord{MessageIDByClient: 1, MessageID: ago.Clock().Next(), ContentHash: draft.Hash()}
	recorded := make(chan publisher.Outcome, 1)
	if err := h.conn.SendLog().Record(addr("alice", alice), rec, func(o publisher.Outcome) { recorded <- o }); err != nil {
		t.Fatal(err)
	}
	if o := streamstest.Receive(t, recorded); o.Err != nil {
		t.Fatal(o.Err)
	}
	putInChannel(t, h.conn, id, "meanwhile", 50)
	written := time.Now()
	eventually(t, "it is late", func() bool { return time.Since(written) > 2*slack })
	alice = h.reconnect("alice", alice.welcome.DeviceID, "")
	for _, meanwhile := range []int{0, 45} {
		putInChannel(t, h.conn, id, "after", meanwhile)
		alice.send(frame)
		if got := want[*schemas.MessageReceived](alice); got.MessageID != rec.MessageID {
			t.Errorf("the retry got %+v", got)
		}
		var all []string
		eventually(t, "pages have all of them", func() bool {
			all = contents(h.allPages("bob", id))
			return len(all) == 51+meanwhile
		})
		if at := slices.Index(all, "late"); at != len(all)-1 {
			t.Errorf("behind %d: the late one is number %d of %d: %v", meanwhile, at, len(all), all)
		}
	}
}

// A message that was deleted for everyone does not come back by a retry of it.
func TestChannelDeletedIsNotStoredAgain(t *testing.T) {
	const window = 100 * time.Millisecond // in which streams know ids
	nats := streamstest.Server(t, t.TempDir())
	conn := streamstest.Connect(t, nats, streams.Topology{DuplicateWindow: window}, func(o *streams.Options) {
		o.Now = func() time.Time { return time.Now().Add(-5 * time.Minute) } // its sends look old
	})
	h := moveIn(t, nats, conn, small)
	alice, laptop := h.connect("alice"), h.connect("alice")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	frame := &schemas.SendMessage{GroupID: id, Content: "secret", MessageIDByClient: 1, Timestamp: 1}
	alice.send(frame)
	first := want[*schemas.MessageReceived](alice)
	edited := &schemas.UpdateMessage{GroupID: id, TargetMessageID: first.MessageID, Change: schemas.ChangeEdit, Content: "more secret",
		MessageIDByClient: 2, Timestamp: 1}
	alice.send(edited)
	want[*schemas.MessageReceived](alice)
	laptop.updated(schemas.UpdateMessage{GroupID: id, TargetMessageID: first.MessageID, Change: schemas.ChangeDelete})
	deleted := time.Now()
	js := streamstest.JetStream(t, nats)
	if n := streamstest.Stored(t, js, "CHANNELS"); n != 1 {
		t.Fatalf("%d entries, want the deletion alone", n)
	}
	eventually(t, "the streams have forgotten the ids", func() bool { return time.Since(deleted) > 3*window })
	h.server.ForgetAccepted()
	for _, f := range []schemas.Send{frame, edited} {
		alice.send(f)
		want[*schemas.MessageReceived](alice)
	}
	if n := streamstest.Stored(t, js, "CHANNELS"); n != 1 {
		t.Errorf("after the retries CHANNELS has %d entries", n)
	}
	if page := h.chat("bob", id, 0); len(page) != 1 || !page[0].Deleted || page[0].Content != "" {
		t.Errorf("bob sees %+v", page)
	}
}

// A page that is in memory shows what comes next at once.
func TestChannelPageFollowsNews(t *testing.T) {
	h := newHouse(t, small)
	alice := h.connect("alice")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	var sent []string
	for i := range 20 {
		alice.tellGroup(id, fmt.Sprint(i))
		sent = slices.Insert(sent, 0, fmt.Sprint(i))
		wantPage(t, "bob", h.chat("bob", id, 0), sent...)
	}
}

// A device that connects may read a new entry before the gateway that stored it tells
// others: they hear of it all the same.
func TestChannelNewsThatWasRead(t *testing.T) {
	h, other := pairOfHouses(t, small)
	js := streamstest.JetStream(t, h.nats)
	alice, bob := h.connect("alice"), other.connect("bob")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	h.server.Heard(bus.ChannelNews{Group: id, MessageID: h.conn.Clock().Next(), Sequence: streamstest.Stored(t, js, "CHANNELS") + 1})
	alice.tellGroup(id, "hello")
	if w := want[*schemas.WakeUp](bob); w.GroupID != id {
		t.Errorf("bob was woken for %+v", w)
	}
}
