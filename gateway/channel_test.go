package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"roost/gateway"
	"roost/schemas"
	"roost/streams"
	"roost/streams/channel"
	"roost/streams/streamstest"
)

// small makes channels of groups with more than three members.
func small(o *gateway.Options) {
	o.GroupPushLimit, o.Limits = 3, gateway.Limits{}
}

// chat is a page of GET /chat; upTo 0 is now.
func (h *house) chat(as schemas.UserID, id schemas.GroupID, upTo schemas.Timestamp) []schemas.HistoryMessage {
	h.t.Helper()
	path := "/chat/" + string(id)
	if upTo > 0 {
		path += fmt.Sprintf("?timestamp=%d", upTo)
	}
	return data[[]schemas.HistoryMessage](h.t, h.must(as, "GET", path, ""))
}

// contents are what a page says, newest first.
func contents(page []schemas.HistoryMessage) []string {
	all := make([]string, 0, len(page))
	for _, m := range page {
		all = append(all, m.Content)
	}
	return all
}

func wantPage(t testing.TB, who string, got []schemas.HistoryMessage, want ...string) {
	t.Helper()
	if !slices.Equal(contents(got), want) {
		t.Errorf("%s sees %q, not %q", who, contents(got), want)
	}
}

// A channel is paged by message ids whatever was sent in one millisecond, also beyond
// what is kept in memory.
func TestChannelIsPagedByIDs(t *testing.T) {
	h := newHouse(t, small)
	alice := h.connect("alice")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	h.conn.Clock().Observe(schemas.MessageIDAt(schemas.Now() + 60_000)) // so ids go on by their counter
	const n = 130
	var want []schemas.MessageID
	for i := range n {
		want = append(want, alice.tellGroup(id, fmt.Sprint(i)).MessageID)
	}
	times := make(map[schemas.Timestamp]int)
	var got []schemas.MessageID
	for path := "/chat/" + string(id); ; path = "/chat/" + string(id) + "?before=" + string(got[len(got)-1]) {
		page := data[[]schemas.HistoryMessage](t, h.must("bob", "GET", path, ""))
		if len(page) == 0 || len(got) > n {
			break
		}
		for _, m := range page {
			got = append(got, m.MessageID)
			times[m.Timestamp]++
		}
	}
	slices.Reverse(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d messages were paged, of %d", len(got), n)
	}
	if len(times) > n/40 {
		t.Errorf("they were sent in %d milliseconds: that shows nothing", len(times))
	}
}

// A message to a channel is in no inbox. Members at both gateways are woken and pull
// it; its sender sees it at once; who is no member sees nothing.
func TestChannel(t *testing.T) {
	h, other := pairOfHouses(t, small)
	alice, bob := h.connect("alice"), other.connect("bob")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	bob.wantUpdates("alice created")
	first := alice.tellGroup(id, "hello")
	wantPage(t, "alice", h.chat("alice", id, 0), "hello")
	if w := want[*schemas.WakeUp](bob); w.GroupID != id || w.MessageID != first.MessageID {
		t.Errorf("bob is woken by %+v", w)
	}
	page := other.chat("bob", id, 0)
	wantPage(t, "bob", page, "hello")
	if m := page[0]; m.MessageID != first.MessageID || m.SenderID != "alice" || m.GroupID != id || m.Timestamp != first.Timestamp {
		t.Errorf("the message is %+v", m)
	}
	bob.send(&schemas.SendMessage{GroupID: id, Content: "hi", ReplyTo: first.MessageID, MessageIDByClient: bob.next, Timestamp: 1})
	second := want[*schemas.MessageReceived](bob)
	for want[*schemas.WakeUp](alice).MessageID != second.MessageID { // the first is of her own message
	}
	if page = h.chat("alice", id, 0); len(page) != 2 || page[0].ReplyTo != first.MessageID {
		t.Errorf("alice sees %+v", page)
	}
	wantPage(t, "alice", h.chat("alice", id, first.Timestamp), "hello")
	js := streamstest.JetStream(t, h.nats)
	if n := streamstest.Stored(t, js, "CHANNELS"); n != 2 {
		t.Errorf("CHANNELS has %d entries", n)
	}
	goAway(t, other, "bob", bob)
	if n := other.reconnect("bob", bob.welcome.DeviceID, "").entries(); n != 0 {
		t.Errorf("bob's inbox has %d entries", n)
	}
	for who, status := range map[schemas.UserID]int{"eve": http.StatusForbidden, "dave": http.StatusOK} {
		if got, _ := other.call(who, "GET", "/chat/"+string(id), ""); got != status {
			t.Errorf("%s got %d, not %d", who, got, status)
		}
	}
	if status, _ := h.call("alice", "GET", "/chat/"+string(id)+"?timestamp=x", ""); status != http.StatusBadRequest {
		t.Errorf("a bad time got %d", status)
	}
	alice.send(&schemas.TypingNotice{GroupID: id})
	alice.send(&schemas.Read{MessageID: second.MessageID, SenderID: "bob", GroupID: id})
	bob = other.reconnect("bob", bob.welcome.DeviceID, "")
	bob.roundTrip()
	for _, f := range bob.seen {
		switch f.(type) {
		case *schemas.Typing, *schemas.ReadBy, *schemas.Delivered:
			t.Errorf("bob got %+v", f)
		}
	}
}

// A removed member is told nothing and shown nothing; one who was added sees what was
// sent since then.
func TestChannelMembers(t *testing.T) {
	h, other := pairOfHouses(t, small)
	alice, bob := h.connect("alice"), other.connect("bob")
	id := h.makeGroup("alice", "bob", "carol", "dave", "eve")
	alice.tellGroup(id, "before")
	want[*schemas.WakeUp](bob)
	wantPage(t, "bob", other.chat("bob", id, 0), "before")
	h.remove("alice", id, "bob")
	h.add("alice", id, "frank")
	alice.tellGroup(id, "after")
	if status, _ := other.call("bob", "GET", "/chat/"+string(id), ""); status != http.StatusForbidden {
		t.Errorf("bob, who was removed, got %d", status)
	}
	wantPage(t, "frank", h.chat("frank", id, 0), "after")
	wantPage(t, "carol", h.chat("carol", id, 0), "after", "before")
	eventually(t, "the other gateway has heard of it", func() bool { return len(other.chat("frank", id, 0)) == 1 })
	wantPage(t, "carol", other.chat("carol", id, 0), "after", "before")
	frank := other.connect("frank")
	want[*schemas.WakeUp](frank)
	alice.tellGroup(id, "again")
	want[*schemas.WakeUp](frank)
	bob.roundTrip()
	for _, f := range bob.seen {
		if w, ok := f.(*schemas.WakeUp); ok {
			t.Errorf("bob, who was removed, is woken by %+v", w)
		}
	}
}

// A group that crosses the limit is what it is at each send. What was sent to inboxes
// stays there, and what was sent to the channel can be pulled later as well.
func TestChannelCrossing(t *testing.T) {
	h := newHouse(t, small)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := h.makeGroup("alice", "bob", "carol")
	alice.tellGroup(id, "small")
	if m := bob.take(); m.Content != "small" {
		t.Errorf("bob got %q", m.Content)
	}
	if status, a := h.call("bob", "GET", "/chat/"+string(id), ""); status != http.StatusConflict || a.Error.Code != schemas.CodeHistoryOff {
		t.Errorf("a small group without history: %d %+v", status, a.Error)
	}
	h.add("alice", id, "dave")
	wantPage(t, "bob", h.chat("bob", id, 0))
	alice.tellGroup(id, "large")
	want[*schemas.WakeUp](bob)
	wantPage(t, "bob", h.chat("bob", id, 0), "large")
	h.remove("alice", id, "dave")
	alice.tellGroup(id, "small again")
	if m := bob.take(); m.Content != "small again" {
		t.Errorf("bob got %q", m.Content)
	}
	wantPage(t, "bob", h.chat("bob", id, 0), "large")
}

// Pages go back to the first message, from memory and from the stream, whatever else
// the stream has, and nobody's order changes.
func TestChannelPagesAndOrder(t *testing.T) {
	h, other := pairOfHouses(t, small)
	id := h.makeGroup("alice", "bob", "carol", "dave")
	noise := h.makeGroup("alice", "bob", "carol", "dave")
	alice, bob, carol := h.connect("alice"), other.connect("bob"), h.connect("carol")
	const each, atOnce = 150, 5 // a page of one millisecond would have no older one
	var sending sync.WaitGroup
	for d, to := range map[*device]schemas.GroupID{alice: id, bob: id, carol: noise} {
		sending.Go(func() {
			for i := range each {
				d.shout(to, fmt.Sprint(d.welcome.UserID, " ", i))
				if i >= atOnce {
					want[*schemas.MessageReceived](d)
				}
			}
			for range atOnce {
				want[*schemas.MessageReceived](d)
			}
		})
	}
	sending.Wait()
	var all []schemas.HistoryMessage
	seen := make(map[schemas.MessageID]bool)
	for upTo := schemas.Timestamp(0); ; {
		page, news := other.chat("dave", id, upTo), 0
		for _, m := range page {
			if len(all) > 0 && m.MessageID < all[len(all)-1].MessageID || len(all) == 0 {
				all, news = append(all, m), news+1
				seen[m.MessageID] = true
			} else if !seen[m.MessageID] {
				t.Fatalf("%q comes behind older ones", m.Content)
			}
		}
		if news == 0 {
			break
		}
		upTo = all[len(all)-1].Timestamp
	}
	if len(all) != 2*each {
		t.Errorf("the pages have %d messages", len(all))
	}
	next := map[string]int{"alice": 0, "bob": 0}
	for _, m := range slices.Backward(all) {
		if w := fmt.Sprint(m.SenderID, " ", next[string(m.SenderID)]); m.Content != w {
			t.Fatalf("got %q, not %q", m.Content, w)
		}
		next[string(m.SenderID)]++
	}
}

// TestChannelStoredInAnotherOrder: senders at several gateways get their ids in one order
// and have their messages stored in another; pages have all of them, in order.
func TestChannelStoredInAnotherOrder(t *testing.T) {
	h := newHouse(t, small)
	id := h.makeGroup("alice", "bob", "carol", "dave")
	const all, early = 150, 8 // one of ten is stored before so many others
	var order []int
	for i := range all {
		switch {
		case i%10 == 5 && i+early < all:
			order = append(order, i+early, i)
		case i%10 != 3 || i < early:
			order = append(order, i)
		}
	}
	base := schemas.Now()
	for _, i := range order {
		at := base + schemas.Timestamp(i)
		m := schemas.Message{MessageID: schemas.MessageIDAt(at), SenderID: "alice", GroupID: id, Content: fmt.Sprint(i), Timestamp: at}
		done := make(chan error, 1)
		h.conn.Channels().Commit(channel.Send{Message: &m}, func(_ uint64, err error) { done <- err })
		if err := streamstest.Receive(t, done); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for query := "timestamp=9999999999999"; ; {
		status, answer := h.call("bob", "GET", "/chat/"+string(id)+"?"+query, "")
		if status != http.StatusOK {
			t.Fatalf("got %d %+v", status, answer.Error)
		}
		page := data[[]schemas.HistoryMessage](t, answer)
		if len(page) == 0 {
			break
		}
		for _, m := range page {
			got = append(got, m.Content)
		}
		query = "before=" + string(page[len(page)-1].MessageID)
	}
	var want []string
	for i := range all {
		want = append(want, fmt.Sprint(all-1-i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the pages have %v", got)
	}
}

// A retry, soon or late, is answered with the first id and stored once.
func TestChannelRetries(t *testing.T) {
	const window = 100 * time.Millisecond // in which streams know ids
	nats := streamstest.Server(t, t.TempDir())
	conn := streamstest.Connect(t, nats, streams.Topology{DuplicateWindow: window}, func(o *streams.Options) {
		o.Now = func() time.Time { return time.Now().Add(-5 * time.Minute) } // its sends look old
	})
	h := moveIn(t, nats, conn, small)
	js := streamstest.JetStream(t, nats)
	alice := h.connect("alice")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	frame := &schemas.SendMessage{GroupID: id, Content: "once", MessageIDByClient: 1, Timestamp: 1}
	alice.send(frame)
	first := want[*schemas.MessageReceived](alice)
	update := &schemas.UpdateMessage{GroupID: id, TargetMessageID: first.MessageID, Change: schemas.ChangeReaction, Content: "👍", MessageIDByClient: 2, Timestamp: 1}
	alice.send(update)
	second := want[*schemas.MessageReceived](alice)
	accepted := time.Now()
	again := func() {
		t.Helper()
		h.server.ForgetAccepted()
		alice.send(frame)
		if got := want[*schemas.MessageReceived](alice); *got != *first {
			t.Errorf("the retry got %+v, not %+v", got, first)
		}
		alice.send(update)
		if got := want[*schemas.MessageReceived](alice); *got != *second {
			t.Errorf("the retry got %+v, not %+v", got, second)
		}
	}
	again()
	eventually(t, "the streams have forgotten the ids", func() bool { return time.Since(accepted) > 3*window })
	again()
	alice = h.reconnect("alice", alice.welcome.DeviceID, "")
	again()
	if n := streamstest.Stored(t, js, "CHANNELS"); n != 2 {
		t.Errorf("CHANNELS has %d entries, not two", n)
	}
	alice.send(&schemas.SendMessage{GroupID: id, Content: "another", MessageIDByClient: 1, Timestamp: 1})
	alice.wantError(schemas.CodeConflict)
}

// Where the process is alone the record of a send is durable before its entry: a
// process that dies in between would store the retry once more.
func TestChannelRecordFirst(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	conn := streamstest.Connect(t, nats, streams.Topology{}, func(o *streams.Options) { o.SingleProcess = true })
	h := moveIn(t, nats, conn, small)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	js := streamstest.JetStream(t, nats)
	const sends = 10
	records := make(chan uint64, sends)
	streamstest.Hear(t, js, "channel.>", func() { records <- streamstest.Stored(t, js, "SENT_0") })
	for i := range uint64(sends) {
		alice.tellGroup(id, "hello")
		if n := streamstest.Receive(t, records); n < i+1 {
			t.Errorf("with message %d there are %d records", i+1, n)
		}
	}
	want[*schemas.WakeUp](bob)
	if page := h.chat("bob", id, 0); len(page) != sends {
		t.Errorf("bob sees %d messages", len(page))
	}
}

// A gateway that starts anew has everything.
func TestChannelAfterRestart(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h := joinHouse(t, nats, small)
	alice := h.connect("alice")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	var all []string
	for i := range 30 {
		all = append(all, fmt.Sprint(i))
		alice.tellGroup(id, all[i])
		if page := h.chat("alice", id, 0); page[0].Content != all[i] {
			t.Errorf("who has sent %q sees %q", all[i], page[0].Content)
		}
	}
	slices.Reverse(all)
	h.stop()
	h = joinHouse(t, nats, small)
	wantPage(t, "bob", h.chat("bob", id, 0), all[:20]...)
	bob := h.connect("bob")
	if w := want[*schemas.WakeUp](bob); w.GroupID != id || w.MessageID != h.chat("bob", id, 0)[0].MessageID {
		t.Errorf("bob is woken by %+v", w)
	}
}

// A busy channel costs a device that does not pull a few frames, and one that pulls
// one a second.
func TestChannelWakeUpsAreFew(t *testing.T) {
	h, other := pairOfHouses(t, small)
	alice, bob := h.connect("alice"), other.connect("bob")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	messages, started := 0, time.Now()
	for messages < 1000 || time.Since(started) < 3*time.Second {
		for range 10 {
			alice.shout(id, "busy")
		}
		for range 10 {
			want[*schemas.MessageReceived](alice)
		}
		messages += 10
	}
	took := time.Since(started)
	last := h.chat("carol", id, 0)[0]
	var frames int
	var newest schemas.MessageID
	for newest < last.MessageID { // and who waits hears of the last one
		newest = want[*schemas.WakeUp](bob).MessageID
		frames++
	}
	if most := 2 + int(took/(10*time.Second)); frames > most {
		t.Errorf("%d frames for %d messages in %s, more than %d", frames, messages, took, most)
	}
}

// Who has pulled hears of the next message at once, and who was told at the connect.
func TestChannelWakeUpAfterPull(t *testing.T) {
	h := newHouse(t, small)
	alice := h.connect("alice")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	alice.tellGroup(id, "before")
	bob := h.connect("bob")
	want[*schemas.WakeUp](bob)
	started := time.Now()
	for range 3 {
		m := alice.tellGroup(id, "next")
		for want[*schemas.WakeUp](bob).MessageID < m.MessageID {
		}
		h.chat("bob", id, 0)
	}
	if took := time.Since(started); took > 8*time.Second {
		t.Errorf("three messages took %s", took)
	}
}

// What was done to a message shows on it, and a deletion takes the words out of the
// stream, whatever the group is by then.
func TestChannelUpdates(t *testing.T) {
	h, other := pairOfHouses(t, small)
	js := streamstest.JetStream(t, h.nats)
	alice, bob := h.connect("alice"), other.connect("bob")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	one, two, three := alice.tellGroup(id, "one"), alice.tellGroup(id, "two"), alice.tellGroup(id, "three")
	change := func(d *device, of schemas.MessageID, c schemas.MessageChange, content string) {
		d.updated(schemas.UpdateMessage{GroupID: id, TargetMessageID: of, Change: c, Content: content})
	}
	change(alice, one.MessageID, schemas.ChangeEdit, "uno?")
	change(alice, one.MessageID, schemas.ChangeEdit, "uno")
	change(bob, one.MessageID, schemas.ChangeReaction, "👎")
	change(bob, one.MessageID, schemas.ChangeReaction, "👍")
	change(bob, two.MessageID, schemas.ChangeReaction, "👍")
	change(alice, two.MessageID, schemas.ChangeEdit, "dos")
	n := bob.ask(schemas.UpdateMessage{GroupID: id, TargetMessageID: one.MessageID, Change: schemas.ChangeEdit, Content: "mine"})
	if e := bob.wantError(schemas.CodeForbidden); e.MessageIDByClient != n {
		t.Errorf("got %+v", e)
	}
	page := h.chat("carol", id, 0)
	wantPage(t, "carol", page, "three", "dos", "uno")
	if m := page[2]; m.EditedAt == 0 || len(m.Reactions) != 1 || m.Reactions[0] != (schemas.Reaction{UserID: "bob", Reaction: "👍"}) {
		t.Errorf("the first is %+v", m)
	}
	const entries = 3 + 6
	if n := streamstest.Stored(t, js, "CHANNELS"); n != entries {
		t.Fatalf("CHANNELS has %d entries", n)
	}
	change(alice, two.MessageID, schemas.ChangeDelete, "")
	if n := streamstest.Stored(t, js, "CHANNELS"); n != entries-3+1 { // itself, an edit and a reaction go, the deletion comes
		t.Errorf("CHANNELS has %d entries behind the deletion", n)
	}
	for _, house := range []*house{h, other} {
		eventually(t, "the deletion shows", func() bool {
			page := house.chat("carol", id, 0)
			return len(page) == 3 && page[1].MessageID == two.MessageID && page[1].Deleted && page[1].Content == "" && len(page[1].Reactions) == 0 && page[1].SenderID == "alice"
		})
	}
	h.remove("alice", id, "dave") // and the group is small
	change(alice, three.MessageID, schemas.ChangeDelete, "")
	if n := streamstest.Stored(t, js, "CHANNELS"); n != entries-3+1-1 {
		t.Errorf("CHANNELS has %d entries behind the second deletion", n)
	}
}

// What disappears is not shown any more, and leaves the stream.
func TestChannelDisappearing(t *testing.T) {
	const left = 3 * time.Second
	nats := streamstest.Server(t, t.TempDir())
	conn := streamstest.Connect(t, nats, streams.Topology{}, func(o *streams.Options) {
		o.Now = func() time.Time { return time.Now().Add(left - 24*time.Hour) }
	})
	ago := moveIn(t, nats, conn, small) // what is sent there is nearly a day old
	h := joinHouse(t, nats, small)
	alice := ago.connect("alice")
	id := ago.makeGroup("alice", "bob", "carol", "dave")
	ago.must("alice", "PATCH", "/groups/"+string(id), `{"disappearing_days":1}`)
	alice.tellGroup(id, "for a moment")
	if page := h.chat("bob", id, 0); len(page) != 1 || page[0].ExpiresAt == 0 {
		t.Fatalf("bob sees %+v", page)
	}
	eventually(t, "the message disappears", func() bool { return len(h.chat("bob", id, 0)) == 0 })
	js := streamstest.JetStream(t, nats)
	eventually(t, "and leaves the stream", func() bool { return streamstest.Stored(t, js, "CHANNELS") == 0 })
}

// groupKept answers requests for what a group keeps.
type groupKept struct {
	oneChat
	page []schemas.MessageState
	mu   sync.Mutex
	n    int
}

func (k *groupKept) Page(context.Context, schemas.HistoryRequest) (schemas.HistoryReply, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n++
	return schemas.HistoryReply{Messages: k.page}, nil
}

// A channel whose group keeps history shows what history has besides: before it was a
// channel, and to who came later. A page that the channel fills needs no history.
func TestChannelWithHistory(t *testing.T) {
	h := newHouse(t, small)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := h.makeGroup("alice", "bob", "carol")
	h.must("alice", "PATCH", "/groups/"+string(id), `{"history_storage":90}`)
	old := alice.tellGroup(id, "old")
	bob.take()
	h.add("alice", id, "dave")
	large := alice.tellGroup(id, "large")
	h.add("alice", id, "eve")
	wantPage(t, "eve", h.chat("eve", id, 0), "large") // since the group keeps history, and no worker answers
	if status, _ := h.call("eve", "GET", "/chat/"+string(id)+fmt.Sprint("?timestamp=", old.Timestamp-1), ""); status != http.StatusServiceUnavailable {
		t.Errorf("a page that history alone can have got %d", status)
	}
	kept := &groupKept{oneChat: oneChat{func() error { return errors.New("not asked for") }}}
	for _, m := range []*schemas.MessageReceived{large, old} {
		content := map[*schemas.MessageReceived]string{old: "old", large: "large"}[m]
		kept.page = append(kept.page, schemas.MessageState{Message: schemas.Message{MessageID: m.MessageID, SenderID: "alice", GroupID: id, Content: content, Timestamp: m.Timestamp}})
	}
	stop, err := h.conn.ServeHistory(kept)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	wantPage(t, "eve", h.chat("eve", id, 0), "large", "old")
	for i := range 20 {
		alice.tellGroup(id, fmt.Sprint(i))
	}
	kept.mu.Lock()
	asked := kept.n
	kept.mu.Unlock()
	if page := h.chat("bob", id, 0); len(page) != 20 || page[0].Content != "19" {
		t.Errorf("bob sees %q", contents(page))
	}
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if kept.n != asked {
		t.Error("a full page of the channel asked history")
	}
}

// The last one who leaves takes the messages along.
func TestChannelOfNobody(t *testing.T) {
	h := newHouse(t, small)
	alice := h.connect("alice")
	id := h.makeGroup("alice", "bob", "carol", "dave")
	alice.tellGroup(id, "hello")
	for _, u := range []schemas.UserID{"bob", "carol", "dave", "alice"} {
		h.remove(u, id, u)
	}
	if n := streamstest.Stored(t, streamstest.JetStream(t, h.nats), "CHANNELS"); n != 0 {
		t.Errorf("CHANNELS has %d entries", n)
	}
}
