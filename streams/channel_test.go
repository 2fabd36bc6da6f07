package streams_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/bus"
	"roost/streams/channel"
	"roost/streams/group"
	"roost/streams/streamstest"
)

const (
	channelID schemas.GroupID = "g-01K73S8AC0GR0VPGR0VPGR0VPG"
	aside     schemas.GroupID = "g-01K73S8AC0GR0VPGR0VPGR0VPH"
)

// post commits a message, or an update, to its channel.
func post(t testing.TB, c *streams.Conn, m schemas.Message) uint64 {
	t.Helper()
	type result struct {
		seq uint64
		err error
	}
	done := make(chan result, 1)
	if m.MessageID == "" {
		m.MessageID = c.Clock().Next()
	}
	m.SenderID, m.Timestamp = "alice", m.MessageID.Time()
	if m.GroupID == "" {
		m.GroupID = channelID
	}
	c.Channels().Commit(channel.Send{Message: &m}, func(seq uint64, err error) { done <- result{seq, err} })
	r := streamstest.Receive(t, done)
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.seq
}

// A channel is read backwards from any time, wherever in the stream its messages are.
func TestChannelBack(t *testing.T) {
	c := connect(t, onePartition())
	type posted struct {
		seq uint64
		at  time.Time // no sooner was the next one stored
	}
	var all []posted
	for i := range 120 {
		for range rand.N(1 + i%7*5) { // of other channels, more and fewer
			post(t, c, schemas.Message{GroupID: aside, Content: "x"})
		}
		all = append(all, posted{post(t, c, schemas.Message{Content: fmt.Sprint(i)}), time.Now()})
	}
	for _, upTo := range []int{0, 1, 19, 60, 118, 119} {
		for _, n := range []int{1, 2, 40, 120, 500} {
			until := all[upTo].at
			if upTo == len(all)-1 {
				until = time.Time{}
			}
			got, whole, err := c.Channels().Back(timeout(t), channelID, until, n)
			first := max(0, upTo+1-n)
			var seqs []uint64
			for _, e := range got {
				seqs = append(seqs, e.Sequence)
			}
			var want []uint64
			for _, p := range all[first : upTo+1] {
				want = append(want, p.seq)
			}
			if err != nil || !slices.Equal(seqs, want) || whole && first > 0 {
				t.Fatalf("%d up to %d: %v %v %v, not %v", n, upTo, seqs, whole, err, want)
			}
		}
	}
	if got, whole, err := c.Channels().Back(timeout(t), "g-01K73S8AC0GR0VPGR0VPGR0VPX", time.Time{}, 10); len(got) != 0 || !whole || err != nil {
		t.Errorf("of a channel without messages: %v %v %v", got, whole, err)
	}
	if got, _, err := c.Channels().Back(timeout(t), channelID, all[0].at.Add(-time.Hour), 10); len(got) != 0 || err != nil {
		t.Errorf("before the first message: %v %v", got, err)
	}
}

// However many reactions a message has, no message goes for them, and of an edit the
// newest counts.
func TestChannelChanges(t *testing.T) {
	c := connect(t, onePartition())
	one, two := c.Clock().Next(), c.Clock().Next()
	first := post(t, c, schemas.Message{MessageID: one, Content: "one"})
	post(t, c, schemas.Message{MessageID: two, Content: "two"})
	const reactions = channel.MaxReactions + 10
	for range reactions {
		post(t, c, schemas.Message{Change: schemas.ChangeReaction, TargetMessageID: one, Content: "👍"})
	}
	post(t, c, schemas.Message{Change: schemas.ChangeEdit, TargetMessageID: one, Content: "uno"})
	end := post(t, c, schemas.Message{Change: schemas.ChangeEdit, TargetMessageID: two, Content: "dos"})
	changes, err := c.Channels().Changes(timeout(t), channelID, []schemas.MessageID{one, two})
	if err != nil || len(changes) != channel.MaxReactions+2 {
		t.Errorf("%d changes, %v", len(changes), err)
	}
	if got, message, err := c.Channels().End(timeout(t), channelID); got != end || message != first+1 || err != nil {
		t.Errorf("the end is %d, %d, %v", got, message, err)
	}
	if seq, err := c.Channels().Holds(timeout(t), &schemas.Message{MessageID: one, GroupID: channelID}); seq != first || err != nil {
		t.Errorf("the first message is at %d, %v", seq, err)
	}
	for range 2 {
		if err := c.Channels().Erase(timeout(t), channelID, one); err != nil {
			t.Fatal(err)
		}
	}
	if n := streamstest.Stored(t, c.JetStream(), "CHANNELS"); n != 2 {
		t.Errorf("%d entries are left, not the other message and its edit", n)
	}
	if seq, err := c.Channels().Holds(timeout(t), &schemas.Message{MessageID: one, GroupID: channelID}); seq != 0 || err != nil {
		t.Errorf("the erased message is at %d, %v", seq, err)
	}
}

// heard notes what a process hears of channels.
type heard struct {
	news chan bus.ChannelNews
	gaps chan struct{}
}

func (h heard) News(n bus.ChannelNews) { h.news <- n }
func (h heard) Gap()                   { h.gaps <- struct{}{} }

func watchChannels(t testing.TB, c *streams.Conn) heard {
	t.Helper()
	h := heard{make(chan bus.ChannelNews, 10), make(chan struct{}, 10)}
	stop, err := c.Channels().Watch(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	if err := c.LiveConn().FlushWithContext(timeout(t)); err != nil {
		t.Fatal(err)
	}
	return h
}

// The word of a new message reaches all processes, its own as well; where it is alone
// too.
func TestChannelNews(t *testing.T) {
	c, other := pair(t)
	alone := connect(t, onePartition(), func(o *streams.Options) { o.SingleProcess = true })
	n := bus.ChannelNews{Group: channelID, MessageID: c.Clock().Next(), Sequence: 1<<40 + 7, Changed: c.Clock().Next()}
	at, there, here := watchChannels(t, c), watchChannels(t, other), watchChannels(t, alone)
	c.Bus().PublishChannelNews(n)
	alone.Bus().PublishChannelNews(n)
	for _, h := range []heard{at, there, here} {
		if got := streamstest.Receive(t, h.news); got != n {
			t.Errorf("got %+v, not %+v", got, n)
		}
	}
}

// A change of a group whose members have more devices than a message may have copies
// reaches all of them.
func TestUpdateOfManyDevices(t *testing.T) {
	c := connect(t, onePartition())
	to, records := make([]schemas.UserID, streams.MaxCopies/2+100), make(map[schemas.UserID]schemas.Devices)
	for i := range to {
		to[i] = schemas.UserID(fmt.Sprint("user-", i))
		records[to[i]] = schemas.Devices{Devices: []schemas.Device{{DeviceID: schemas.DeviceID(c.Clock().NextULID())}, {DeviceID: schemas.DeviceID(c.Clock().NextULID())}}}
	}
	if err := c.PutDevices(timeout(t), records); err != nil {
		t.Fatal(err)
	}
	if err := c.CommitUpdate(timeout(t), to, c.Clock().Next(), []byte(`{"type":"group_update","message_id":"`+string(c.Clock().Next())+`"}`)); err != nil {
		t.Fatal(err)
	}
	if n := streamstest.Stored(t, c.JetStream(), "INBOX_0"); n != uint64(2*len(to)) {
		t.Errorf("%d of %d inboxes have it", n, 2*len(to))
	}
}

// A group whose ids are long is full before its members are too many, and nothing of
// it is stored.
func TestGroupWithoutRoom(t *testing.T) {
	c := connect(t, onePartition())
	newcomer(t, c, "alice")
	body := schemas.NewGroup{GroupName: "long", Members: make([]schemas.UserID, schemas.MaxGroupMembers-1)}
	for i := range body.Members {
		body.Members[i] = schemas.UserID(fmt.Sprintf("%0128d", i))
	}
	if _, err := c.Groups().Create(timeout(t), schemas.Request{}, "alice", body); !errors.Is(err, group.ErrFull) {
		t.Errorf("making it: %v", err)
	}
	g := cutShort(c.Clock().Next())
	g.Pending, g.Members = nil, g.Members[:1]
	member := func(i int) schemas.Member {
		return schemas.Member{UserID: schemas.UserID(fmt.Sprintf("%0128d", i)), Role: schemas.RoleMember, Since: g.Changed}
	}
	for g.Fits() {
		for range 50 {
			g.Members = append(g.Members, member(len(g.Members)))
		}
	}
	g.Members = g.Members[:len(g.Members)-50]
	leave(t, c, g)
	_, err := c.Groups().Change(timeout(t), g.GroupID, g.Members[0].UserID, func(e *group.Edit) error {
		for range 50 {
			e.Group.Members = append(e.Group.Members, member(len(e.Group.Members)))
		}
		e.Note(schemas.GroupAdded, "x", schemas.RoleMember)
		return nil
	})
	if !errors.Is(err, group.ErrFull) {
		t.Errorf("adding to it: %v", err)
	}
	if now, err := c.Groups().Peek(timeout(t), g.GroupID); err != nil || len(now.Members) != len(g.Members) || now.Pending != nil {
		t.Errorf("it has %d members, %v", len(now.Members), err)
	}
}
