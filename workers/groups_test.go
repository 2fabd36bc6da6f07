package workers

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"roost/schemas"
	"roost/streams/group"
)

// group makes a group.
func (b *bench) group(owner schemas.UserID, members ...schemas.UserID) schemas.GroupID {
	b.t.Helper()
	g, err := b.conn.Groups().Create(b.ctx(), schemas.Request{}, owner, schemas.NewGroup{GroupName: "friends", Members: members})
	if err != nil {
		b.t.Fatal(err)
	}
	return g.GroupID
}

func (b *bench) change(id schemas.GroupID, edit func(*group.Edit)) {
	b.t.Helper()
	_, err := b.conn.Groups().Change(b.ctx(), id, "alice", func(e *group.Edit) error {
		edit(e)
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) add(id schemas.GroupID, u schemas.UserID) {
	b.t.Helper()
	b.change(id, func(e *group.Edit) {
		since := e.Note(schemas.GroupAdded, u, schemas.RoleMember)
		e.Group.Members = append(e.Group.Members, schemas.Member{UserID: u, Role: schemas.RoleMember, Since: since})
	})
}

func (b *bench) remove(id schemas.GroupID, u schemas.UserID) {
	b.t.Helper()
	b.change(id, func(e *group.Edit) {
		e.Note(schemas.GroupRemoved, u, "")
		e.Group.Remove(u)
	})
}

// keepGroup switches the history of a group on or off.
func (b *bench) keepGroup(id schemas.GroupID, days int) {
	b.t.Helper()
	b.change(id, func(e *group.Edit) {
		e.Group.SetHistory(days, e.At)
		e.Note(schemas.GroupHistory, "", "")
	})
}

// nextMillisecond waits until the clock is past the newest message id.
func (b *bench) nextMillisecond() {
	b.t.Helper()
	before := b.conn.Clock().Next().Time()
	b.eventually("the next millisecond", func() bool { return schemas.Now() > before })
}

// postGroup stores a message from alice to a group in MESSAGES.
func (b *bench) postGroup(to schemas.GroupID, content string) {
	b.t.Helper()
	id := b.conn.Clock().Next()
	b.commit(&schemas.Message{MessageID: id, SenderID: "alice", GroupID: to, Content: content, Timestamp: id.Time(),
		SenderDeviceID: schemas.DeviceID(b.conn.Clock().NextULID()), MessageIDByClient: 1})
}

// wantGroup waits until a user's page of a group has these contents.
func (b *bench) wantGroup(as schemas.UserID, id schemas.GroupID, whole bool, want ...string) {
	b.t.Helper()
	var got []string
	b.eventually(fmt.Sprintf("history of %s (whole: %v) is %v", as, whole, want), func() bool {
		reply, err := b.conn.HistoryPage(b.ctx(), schemas.HistoryRequest{UserID: as, Chat: string(id), Whole: whole})
		got = nil
		if err != nil {
			var answer *schemas.Error
			if errors.As(err, &answer) {
				got = []string{string(answer.Code)}
			}
		}
		for _, m := range reply.Messages {
			got = append(got, m.Content)
		}
		return fmt.Sprint(got) == fmt.Sprint(want)
	})
}

func TestGroupHistoryFollowsMembershipAndSettings(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	b.keep("alice", 0)
	b.keep("bob", 90)
	b.keep("carol", 0)
	id := b.group("alice", "bob")
	b.postGroup(id, "1")
	b.wantGroup("bob", id, false, "1")
	b.wantGroup("alice", id, false) // neither alice nor the group keeps history
	b.wantGroup("carol", id, false, "not_a_member")
	b.wantGroup("carol", id, true, "not_a_member")
	b.wantGroup("alice", id, true, "history_off")
	b.wantGroup("alice", "g-01K73S8AC0GR0VPGR0VPGR0VPG", false, "not_found")
	b.wantGroup("alice", "g-01K73S8AC0GR0VPGR0VPGR0VPG", true, "not_found")

	b.remove(id, "bob")
	b.postGroup(id, "2, while bob was out")
	b.add(id, "bob")
	b.postGroup(id, "3")
	b.wantGroup("bob", id, false, "3", "1")

	b.nextMillisecond()
	b.keepGroup(id, schemas.HistoryDays)
	b.postGroup(id, "4")
	b.add(id, "carol")
	b.postGroup(id, "5")
	b.wantGroup("bob", id, false, "5", "4", "3", "1")
	b.wantGroup("alice", id, false, "5", "4") // what the group keeps
	b.wantGroup("carol", id, false, "5")      // what the group keeps since carol joined
	b.wantGroup("carol", id, true, "5", "4")  // what the group keeps

	b.remove(id, "carol")
	b.postGroup(id, "6")
	b.wantGroup("alice", id, true, "6", "5", "4")
	b.wantGroup("carol", id, true, "not_a_member")
	b.wantGroup("carol", id, false, "5")
	b.remove(id, "bob")
	b.remove(id, "alice") // the last member: the group is deleted
	b.wantGroup("bob", id, false, "6", "5", "4", "3", "1")
	b.wantGroup("alice", id, false)
	b.wantGroup("alice", id, true, "not_found")
}

// TestGroupsAmongChats: the chats of a user include every group of which the user was ever a
// member, even if the user sent nothing there and keeps no history.
func TestGroupsAmongChats(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	b.keep("alice", 90)
	b.keep("bob", 0)
	chats := func(u schemas.UserID, want ...schemas.GroupID) {
		t.Helper()
		slices.Sort(want)
		var reply schemas.ChatsReply
		b.eventually("a worker answers", func() (ok bool) {
			var err error
			reply, err = b.conn.HistoryChats(b.ctx(), schemas.ChatsRequest{UserID: u})
			return err == nil
		})
		if fmt.Sprint(reply.Chats) != fmt.Sprint(want) {
			t.Errorf("the chats of %s are %v, want %v", u, reply.Chats, want)
		}
		for _, chat := range reply.Chats { // an export must not fail at any of them
			if _, err := b.conn.HistoryPage(b.ctx(), schemas.HistoryRequest{UserID: u, Chat: chat}); err != nil {
				t.Errorf("%s of %s: %v", chat, u, err)
			}
		}
	}
	one, two := b.group("alice", "bob"), b.group("alice", "bob")
	b.postGroup(one, "hello")
	b.wantGroup("alice", one, false, "hello")
	chats("alice", one, two)
	chats("bob", one, two)
	b.remove(one, "bob")
	b.remove(two, "alice")
	chats("alice", one, two)
	chats("bob", one, two)
	chats("carol")
	if reply, err := b.conn.HistoryChats(b.ctx(), schemas.ChatsRequest{UserID: "bob", After: string(min(one, two))}); err != nil || fmt.Sprint(reply.Chats) != fmt.Sprintf("[%s]", max(one, two)) {
		t.Errorf("after the first: %v, %v", reply, err)
	}
}

// TestGroupPages: a page covers several spans. It has exactly the messages of a span, even if
// other messages have the millisecond in which the span begins or ends.
func TestGroupPages(t *testing.T) {
	b := newBench(t)
	h := &history{store: b.store, directory: b.conn.Directory(), groups: b.conn.Groups()}
	const chat = "g-01K73S8AC0GR0VPGR0VPGR0VPG"
	at := schemas.Now() - 60_000
	var n int
	post := func(at schemas.Timestamp, count int) (ids []schemas.MessageID) {
		var all []schemas.Message
		for range count {
			n++
			id := schemas.MessageIDAt(at)[:20] + schemas.MessageID(fmt.Sprintf("%06d", n))
			all = append(all, schemas.Message{MessageID: id, SenderID: "alice", GroupID: chat, Content: fmt.Sprint(n), Timestamp: at})
			ids = append(ids, id)
		}
		if err := b.store.Append(b.ctx(), all); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	first := post(at, 10)
	second := post(at+10, 200) // all in one millisecond
	third := post(at+20, 5)
	v := view{chat: chat, since: 1, upTo: schemas.Now(), spans: []schemas.Span{
		{From: first[3], To: first[9]},   // 5 to 9
		{From: second[1], To: second[8]}, // 13 to 18; many more have the same millisecond
		{From: third[1]},                 // 213 to 215
	}}
	page, err := h.read(b.ctx(), v)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range page {
		got = append(got, m.Content)
	}
	if want := "[215 214 213 18 17 16 15 14 13 9 8 7 6 5]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	v.spans = []schemas.Span{{From: first[0], To: first[9]}, {From: second[0]}}
	if page, err = h.read(b.ctx(), v); err != nil || len(page) != schemas.HistoryPageSize || page[0].MessageID != third[4] {
		t.Errorf("%d messages from %v, %v", len(page), page[0], err)
	}
	v.since = 0
	if page, err = h.read(b.ctx(), v); err != nil || len(page) != 0 {
		t.Errorf("a reader who keeps no history gets %d messages, %v", len(page), err)
	}
}
