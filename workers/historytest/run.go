package historytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"roost/schemas"
	"roost/workers"
)

// Run runs the suite. The function open returns an empty store, and registers a cleanup that
// closes it.
func Run(t *testing.T, open func(t *testing.T) workers.Store) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Append", appendTests},
		{"Page", pageTests},
		{"Updates", updateTests},
		{"Disappearing", disappearingTests},
		{"Delete", deleteTests},
		{"Chats", chatsTests},
		{"Whole", wholeTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, tt := range group.tests {
				t.Run(tt.name, func(t *testing.T) {
					tt.run(t, &fixture{Store: open(t), t: t, ctx: t.Context(), now: schemas.Now()})
				})
			}
		})
	}
}

type test struct {
	name string
	run  func(t *testing.T, f *fixture)
}

// fixture is an empty store with helpers. Each helper fails the test if the store fails.
type fixture struct {
	workers.Store
	t   *testing.T
	ctx context.Context
	now schemas.Timestamp
}

const (
	second    = schemas.Timestamp(time.Second / time.Millisecond)
	day       = 24 * 60 * 60 * second
	retention = schemas.HistoryDays * day
	endless   = schemas.Timestamp(1) << 50 // later than any message

	alice = schemas.UserID("alice")
	bob   = schemas.UserID("bob")
	carol = schemas.UserID("carol")

	group = schemas.GroupID("g-01K5ZZZZZZZZZZZZZZZZZZZZZZ")
)

// idAt returns a message id of that time. Ids of one millisecond are in the order of n.
func idAt(t schemas.Timestamp, n int) schemas.MessageID {
	return schemas.MessageIDAt(t)[:10] + schemas.MessageID(fmt.Sprintf("%016d", n))
}

// direct returns a message from one user to another.
func direct(from, to schemas.UserID, at schemas.Timestamp, n int) schemas.Message {
	return schemas.Message{
		MessageID: idAt(at, n), SenderID: from, ReceiverID: to,
		Content: fmt.Sprintf("message %d from %s", n, from), Timestamp: at,
		SenderDeviceID: "01K5DEV1CE0000000000000000", MessageIDByClient: schemas.ClientMessageID(n + 1),
	}
}

// toGroup returns a message from a user to a group.
func toGroup(from schemas.UserID, to schemas.GroupID, at schemas.Timestamp, n int) schemas.Message {
	m := direct(from, "", at, n)
	m.GroupID = to
	return m
}

// series returns n messages from alice to bob, one per millisecond, the first at from.
func series(from schemas.Timestamp, n int) []schemas.Message {
	messages := make([]schemas.Message, n)
	for i := range messages {
		messages[i] = direct(alice, bob, from+schemas.Timestamp(i), i)
	}
	return messages
}

// chatOf returns the 1:1 chat of two users, as the first one names it.
func chatOf(owner, other schemas.UserID) schemas.ChatID {
	return schemas.ChatWith(owner, schemas.Participant{User: other})
}

func (f *fixture) append(messages ...schemas.Message) {
	f.t.Helper()
	if err := f.Store.Append(f.ctx, messages); err != nil {
		f.t.Fatalf("Append of %d messages: %v", len(messages), err)
	}
}

func (f *fixture) page(chat schemas.ChatID, since, upTo schemas.Timestamp, limit int) []schemas.Message {
	f.t.Helper()
	got, err := f.Store.Page(f.ctx, chat, since, upTo, limit)
	if err != nil {
		f.t.Fatalf("Page of %q: %v", chat, err)
	}
	return got
}

// all returns everything that Page shows of a chat.
func (f *fixture) all(chat schemas.ChatID) []schemas.Message {
	f.t.Helper()
	return f.page(chat, 0, endless, 100_000)
}

// update returns an update of a message, sent by a user in the chat of that message.
func update(of schemas.Message, by schemas.UserID, change schemas.MessageChange, content string, n int) schemas.Message {
	m := direct(by, of.ReceiverID, of.Timestamp+second, n)
	if of.GroupID != "" {
		m.GroupID = of.GroupID
	} else if by == of.ReceiverID {
		m.ReceiverID = of.SenderID
	}
	m.Content, m.Change, m.TargetMessageID = content, change, of.MessageID
	return m
}

// updates returns the updates of messages of one chat, oldest first.
func (f *fixture) updates(messages ...schemas.Message) []schemas.Message {
	f.t.Helper()
	var targets []schemas.MessageID
	for _, m := range messages {
		targets = append(targets, m.MessageID)
	}
	got, err := f.Store.Updates(f.ctx, messages[0].Chat(), targets)
	if err != nil {
		f.t.Fatalf("Updates of %d messages: %v", len(targets), err)
	}
	slices.SortFunc(got, func(a, b schemas.Message) int { return strings.Compare(string(a.MessageID), string(b.MessageID)) })
	return got
}

func (f *fixture) chats(user schemas.UserID) []schemas.ChatID {
	f.t.Helper()
	got, err := f.Store.Chats(f.ctx, user)
	if err != nil {
		f.t.Fatalf("Chats of %q: %v", user, err)
	}
	return got
}

func (f *fixture) deleteBefore(chat schemas.ChatID, before schemas.Timestamp) int {
	f.t.Helper()
	return f.deleteBetween(chat, 0, before)
}

func (f *fixture) deleteBetween(chat schemas.ChatID, from, to schemas.Timestamp) int {
	f.t.Helper()
	n, err := f.Store.DeleteBetween(f.ctx, chat, from, to)
	if err != nil {
		f.t.Fatalf("DeleteBetween of %q: %v", chat, err)
	}
	return n
}

func (f *fixture) deleteExpired(now schemas.Timestamp) int {
	f.t.Helper()
	n, err := f.Store.DeleteExpired(f.ctx, now)
	if err != nil {
		f.t.Fatalf("DeleteExpired: %v", err)
	}
	return n
}

// wantPage compares a page with messages, which are given oldest first.
func wantPage(t *testing.T, got []schemas.Message, oldestFirst ...schemas.Message) {
	t.Helper()
	want := slices.Clone(oldestFirst)
	slices.Reverse(want)
	if len(got) != len(want) {
		t.Fatalf("got %d messages, want %d\n got  %v\n want %v", len(got), len(want), ids(got), ids(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("message %d of the page:\n got  %+v\n want %+v", i, got[i], want[i])
		}
	}
}

// wantUpdates compares updates, both oldest first.
func wantUpdates(t *testing.T, got []schemas.Message, want ...schemas.Message) {
	t.Helper()
	want = slices.Clone(want)
	for i := range want {
		want[i].ExpiresAt = 0
	}
	if !slices.Equal(got, want) {
		t.Fatalf("updates:\n got  %+v\n want %+v", got, want)
	}
}

// ids returns the ids of the first 20 messages, to keep failures readable.
func ids(messages []schemas.Message) []schemas.MessageID {
	var out []schemas.MessageID
	for _, m := range messages[:min(len(messages), 20)] {
		out = append(out, m.MessageID)
	}
	return out
}

// wantChats compares chats in any order. A repeated chat is a failure.
func wantChats(t *testing.T, got []schemas.ChatID, want ...schemas.ChatID) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Fatalf("chats:\n got  %q\n want %q", got, want)
	}
}

func wantCount(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %d, want %d", what, got, want)
	}
}
