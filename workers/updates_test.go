package workers

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"roost/schemas"
)

// put stores a message in MESSAGES, with the fields that edit sets.
func (b *bench) put(from schemas.UserID, edit func(*schemas.Message)) schemas.Message {
	b.t.Helper()
	id := b.conn.Clock().Next()
	m := schemas.Message{MessageID: id, SenderID: from, Timestamp: id.Time(), SenderDeviceID: schemas.DeviceID(b.conn.Clock().NextULID()), MessageIDByClient: 1}
	edit(&m)
	b.commit(&m)
	return m
}

// update stores in MESSAGES an update of a message, sent by a user.
func (b *bench) update(of schemas.Message, by schemas.UserID, change schemas.MessageChange, content string) schemas.Message {
	b.t.Helper()
	return b.put(by, func(m *schemas.Message) {
		m.GroupID, m.ReceiverID = of.GroupID, of.ReceiverID
		if by == of.ReceiverID {
			m.ReceiverID = of.SenderID
		}
		m.Change, m.TargetMessageID, m.Content = change, of.MessageID, content
	})
}

// shown formats a page, newest message first, with the updates of each.
func shown(states []schemas.MessageState) string {
	var all []string
	for _, s := range states {
		text := s.Content
		if s.Deleted {
			text += "deleted"
		}
		if s.EditedAt != 0 {
			text += " (edited)"
		}
		for _, r := range s.Reactions {
			text += fmt.Sprintf(" %s:%s", r.UserID, r.Reaction)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// wantShown waits until a user's page has that text.
func (b *bench) wantShown(as schemas.UserID, chat string, whole bool, want string) []schemas.MessageState {
	b.t.Helper()
	var got []schemas.MessageState
	deadline := time.Now().Add(15 * time.Second)
	for shown(got) != want || got == nil {
		reply, err := b.conn.HistoryPage(b.ctx(), schemas.HistoryRequest{UserID: as, Chat: chat, Whole: whole})
		if got = reply.Messages; time.Now().After(deadline) {
			b.t.Fatalf("the page of %s for %s (whole: %v) is\n %q, error %v, want\n %q", chat, as, whole, shown(got), err, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return got
}

// inStore returns the stored messages of a message's chat, and the updates of the message.
func (b *bench) inStore(m schemas.Message) (messages, updates []schemas.Message) {
	b.t.Helper()
	messages, err := b.store.Page(b.ctx(), m.Chat(), 1, schemas.Now(), 100)
	if err != nil {
		b.t.Fatal(err)
	}
	if updates, err = b.store.Updates(b.ctx(), m.Chat(), []schemas.MessageID{m.MessageID}); err != nil {
		b.t.Fatal(err)
	}
	return messages, updates
}

func TestHistoryShowsUpdates(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	b.keep("alice", 90)
	plain := b.post("alice", "bob", "plain")
	edited := b.post("alice", "bob", "old")
	gone := b.post("alice", "bob", "secret")
	soon := b.put("alice", func(m *schemas.Message) {
		m.ReceiverID, m.Content, m.ExpiresAt = "bob", "soon gone", m.Timestamp+24*60*60*1000
	})
	b.update(plain, "bob", schemas.ChangeReaction, "👍")
	b.update(plain, "alice", schemas.ChangeReaction, "🦉")
	b.update(plain, "bob", schemas.ChangeEdit, "not his")
	b.update(plain, "bob", schemas.ChangeDelete, "")
	b.update(plain, "bob", schemas.ChangeReaction, "👎")
	b.update(edited, "alice", schemas.ChangeEdit, "newer")
	last := b.update(edited, "alice", schemas.ChangeEdit, "newest")
	b.update(gone, "bob", schemas.ChangeReaction, "👍")
	b.update(gone, "alice", schemas.ChangeEdit, "secret still")
	b.update(gone, "alice", schemas.ChangeDelete, "")
	page := b.wantShown("alice", "bob", false, "soon gone, deleted, newest (edited), plain alice:🦉 bob:👎")
	if page[0].ExpiresAt != soon.ExpiresAt || page[2].EditedAt != last.Timestamp {
		t.Errorf("expires_at %d and edited_at %d, want %d and %d", page[0].ExpiresAt, page[2].EditedAt, soon.ExpiresAt, last.Timestamp)
	}
	// The export has the same messages.
	var exported []schemas.MessageState
	err := b.conn.Export(b.ctx(), "alice", func(l schemas.ExportLine) error {
		if l.Kind == schemas.ExportMessage {
			data, err := json.Marshal(l.Message)
			if err != nil {
				return err
			}
			var m schemas.MessageState
			exported = append(exported, m)
			return json.Unmarshal(data, &exported[len(exported)-1])
		}
		return nil
	})
	if err != nil || !reflect.DeepEqual(exported, page) {
		t.Errorf("the export, error %v, has\n%+v, want\n%+v", err, exported, page)
	}
	messages, updates := b.inStore(gone)
	if messages[1].Content != "" || len(updates) != 1 || updates[0].Change != schemas.ChangeDelete {
		t.Errorf("the store has %q of the deleted message, and %+v", messages[1].Content, updates)
	}
	if chats, err := b.conn.HistoryChats(b.ctx(), schemas.ChatsRequest{UserID: "alice"}); err != nil || fmt.Sprint(chats.Chats) != "[bob]" {
		t.Errorf("the chats are %v, error %v", chats.Chats, err)
	}
}

// TestPageCountsMessages: updates do not count towards the size of a page.
func TestPageCountsMessages(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	b.keep("alice", 90)
	var want []string
	for i := range 25 {
		m := b.post("alice", "bob", fmt.Sprint(i))
		b.update(m, "bob", schemas.ChangeReaction, "👍")
		b.update(m, "alice", schemas.ChangeReaction, "👍")
		want = append([]string{fmt.Sprint(i, " bob:👍 alice:👍")}, want...)
	}
	b.wantShown("alice", "bob", false, strings.Join(want[:schemas.HistoryPageSize], ", "))
}

// TestDeletionBeforeItsMessage: the stream redelivers parts of a batch, so the mirror may store
// a deletion before its target.
func TestDeletionBeforeItsMessage(t *testing.T) {
	b := newBench(t)
	store := &picky{Store: b.store, refuses: "secret"}
	b.run(store)
	b.keep("alice", 90)
	m := b.post("alice", "bob", "secret")
	b.update(m, "alice", schemas.ChangeDelete, "")
	b.eventually("the deletion is stored", func() bool {
		messages, updates := b.inStore(m)
		return len(messages) == 0 && len(updates) == 1
	})
	store.mu.Lock()
	store.refuses = ""
	store.mu.Unlock()
	b.wantShown("alice", "bob", false, "deleted")
	if messages, _ := b.inStore(m); messages[0].Content != "" {
		t.Errorf("the store has %q", messages[0].Content)
	}
}

// TestUpdateIsKeptWithItsTarget: the mirror stores an update only if a user keeps its target.
func TestUpdateIsKeptWithItsTarget(t *testing.T) {
	b := newBench(t)
	registry := b.run(b.store)
	b.keep("alice", 0)
	b.keep("bob", 0)
	before := b.post("alice", "bob", "before")
	b.eventually("the next millisecond", func() bool { return schemas.Now() > before.Timestamp })
	b.keep("alice", 90)
	b.update(before, "bob", schemas.ChangeReaction, "👍")
	after := b.post("alice", "bob", "after")
	b.update(after, "bob", schemas.ChangeReaction, "👍")
	b.wantShown("alice", "bob", false, "after bob:👍")
	if _, updates := b.inStore(before); len(updates) != 0 {
		t.Errorf("the store has %+v", updates)
	}
	// The worker deletes the updates of a chat with its messages.
	b.keep("alice", 0)
	b.eventually("nothing is stored", func() bool {
		messages, updates := b.inStore(after)
		return len(messages) == 0 && len(updates) == 0
	})
	b.eventually("the message is counted", func() bool { return counter(t, registry, "messages_deleted_total") == 1 })
}

func TestExpiredMessages(t *testing.T) {
	if expireEvery > time.Minute {
		t.Errorf("an expired message stays on the disk for %s", expireEvery)
	}
	b := newBench(t)
	registry := b.run(b.store)
	b.keep("alice", 90)
	expiring := func(content string, in time.Duration) schemas.Message {
		return b.put("alice", func(m *schemas.Message) {
			m.ReceiverID, m.Content, m.ExpiresAt = "bob", content, m.Timestamp+schemas.Timestamp(in.Milliseconds())
		})
	}
	over := expiring("over", -time.Millisecond)
	// Expired updates, of an expired message and of messages that are not expired.
	edit := func(of schemas.Message, change schemas.MessageChange, content string) {
		b.put("alice", func(m *schemas.Message) {
			m.ReceiverID, m.Change, m.TargetMessageID, m.Content, m.ExpiresAt = "bob", change, of.MessageID, content, m.Timestamp
		})
	}
	edit(over, schemas.ChangeEdit, "over")
	long := expiring("for long", time.Hour)
	edit(long, schemas.ChangeEdit, "late")
	gone := expiring("for long", time.Hour)
	edit(gone, schemas.ChangeDelete, "")
	b.wantShown("alice", "bob", false, "deleted, late (edited)")
	b.eventually("the metric counts 5 messages and updates, without the expired message", func() bool {
		return counter(t, registry, "messages_stored_total") == 5
	})
	// A message that expired in the store is not shown. The next sweep of a worker deletes it.
	soon := over
	soon.MessageID, soon.ExpiresAt = b.conn.Clock().Next(), schemas.Now()-1
	liked := schemas.Message{MessageID: b.conn.Clock().Next(), SenderID: "bob", ReceiverID: "alice", Content: "👍", Timestamp: soon.Timestamp,
		Change: schemas.ChangeReaction, TargetMessageID: soon.MessageID}
	if err := b.store.Append(b.ctx(), []schemas.Message{soon, liked}); err != nil {
		t.Fatal(err)
	}
	b.wantShown("alice", "bob", false, "deleted, late (edited)")
	next := b.run(b.store)
	b.eventually("the message is deleted", func() bool {
		return counter(t, registry, "messages_deleted_total")+counter(t, next, "messages_deleted_total") == 1
	})
	b.eventually("its updates are deleted", func() bool {
		_, updates := b.inStore(soon)
		_, more := b.inStore(over)
		return len(updates) == 0 && len(more) == 0
	})
}

// TestGroupUpdatesFollowMembership: users see an update if they were members when it was sent.
// All readers see a deletion.
func TestGroupUpdatesFollowMembership(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	b.keep("alice", 90)
	b.keep("bob", 90)
	id := b.group("alice", "bob")
	post := func(content string) schemas.Message {
		return b.put("alice", func(m *schemas.Message) { m.GroupID, m.Content = id, content })
	}
	b.keepGroup(id, schemas.HistoryDays)
	one, two, three := post("1"), post("2"), post("3")
	b.update(one, "bob", schemas.ChangeReaction, "👍")
	b.remove(id, "bob")
	b.update(one, "alice", schemas.ChangeReaction, "👎")
	b.update(two, "alice", schemas.ChangeEdit, "2, while bob was out")
	b.update(three, "alice", schemas.ChangeDelete, "")
	b.wantShown("alice", string(id), false, "deleted, 2, while bob was out (edited), 1 bob:👍 alice:👎")
	b.wantShown("bob", string(id), false, "deleted, 2, 1 bob:👍")
	b.add(id, "bob")
	b.update(two, "alice", schemas.ChangeReaction, "🦉")
	b.update(one, "bob", schemas.ChangeReaction, "")
	b.wantShown("bob", string(id), false, "deleted, 2 alice:🦉, 1")
	b.wantShown("bob", string(id), true, "deleted, 2, while bob was out (edited) alice:🦉, 1 alice:👎")
}

// TestUpdateOlderThanHistory: a reader does not see an update that is older than the reader's
// history. Its timestamp may be older than the target's if the clock of its gateway is behind.
func TestUpdateOlderThanHistory(t *testing.T) {
	b := newBench(t)
	h := &history{store: b.store, directory: b.conn.Directory(), groups: b.conn.Groups()}
	at := schemas.Now() - 1000
	m := schemas.Message{MessageID: schemas.MessageIDAt(at), SenderID: "alice", ReceiverID: "bob", Content: "hello", Timestamp: at}
	of := func(n schemas.Timestamp, by schemas.UserID, content string) schemas.Message {
		u := schemas.Message{MessageID: schemas.MessageIDAt(at + n), SenderID: by, ReceiverID: "alice", Content: content, Timestamp: at + n,
			Change: schemas.ChangeReaction, TargetMessageID: m.MessageID}
		if by == "alice" {
			u.ReceiverID = "bob"
		}
		return u
	}
	if err := b.store.Append(b.ctx(), []schemas.Message{m, of(-5, "bob", "👎"), of(5, "alice", "👍")}); err != nil {
		t.Fatal(err)
	}
	states, err := h.states(b.ctx(), view{chat: m.Chat(), since: at, upTo: at, spans: always})
	if err != nil || shown(states) != "hello alice:👍" {
		t.Errorf("%q, error %v", shown(states), err)
	}
}
