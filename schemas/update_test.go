package schemas_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"roost/schemas"
)

// change returns the nth update of the message with id first.
func change(n int, by schemas.UserID, what schemas.MessageChange, content string) schemas.Message {
	return schemas.Message{MessageID: schemas.MessageID(fmt.Sprintf("%s%04d", second[:22], n)), SenderID: by, ReceiverID: "bob", Content: content,
		Timestamp: now + schemas.Timestamp(n), Change: what, TargetMessageID: first}
}

func TestFold(t *testing.T) {
	hello := schemas.Message{MessageID: first, SenderID: "alice", ReceiverID: "bob", Content: "hello", Timestamp: now, ReplyTo: second}
	state := func(f func(*schemas.MessageState)) schemas.MessageState {
		s := schemas.MessageState{Message: hello}
		f(&s)
		return s
	}
	deleted := state(func(s *schemas.MessageState) { s.Content, s.ReplyTo, s.Deleted = "", "", true })
	tests := []struct {
		name    string
		updates []schemas.Message
		want    schemas.MessageState
	}{
		{"nothing", nil, state(func(*schemas.MessageState) {})},
		{"the newest edit counts, in whatever order they come",
			[]schemas.Message{change(2, "alice", schemas.ChangeEdit, "second"), change(1, "alice", schemas.ChangeEdit, "first")},
			state(func(s *schemas.MessageState) { s.Content, s.EditedAt = "second", now+2 })},
		{"an edit by another user", []schemas.Message{change(1, "bob", schemas.ChangeEdit, "no")}, state(func(*schemas.MessageState) {})},
		{"a deletion by another user", []schemas.Message{change(1, "bob", schemas.ChangeDelete, "")}, state(func(*schemas.MessageState) {})},
		{"a deletion is final",
			[]schemas.Message{change(1, "alice", schemas.ChangeEdit, "first"), change(2, "bob", schemas.ChangeReaction, "👍"),
				change(3, "alice", schemas.ChangeDelete, ""), change(4, "alice", schemas.ChangeEdit, "again"), change(5, "bob", schemas.ChangeReaction, "👍")},
			deleted},
		{"a reaction each, the newest",
			[]schemas.Message{change(1, "alice", schemas.ChangeReaction, "👍"), change(2, "bob", schemas.ChangeReaction, "👍"), change(3, "alice", schemas.ChangeReaction, "❤")},
			state(func(s *schemas.MessageState) { s.Reactions = []schemas.Reaction{{"bob", "👍"}, {"alice", "❤"}} })},
		{"a reaction is taken back",
			[]schemas.Message{change(1, "alice", schemas.ChangeReaction, "👍"), change(2, "bob", schemas.ChangeReaction, "👍"), change(3, "bob", schemas.ChangeReaction, "")},
			state(func(s *schemas.MessageState) { s.Reactions = []schemas.Reaction{{"alice", "👍"}} })},
	}
	for _, tt := range tests {
		if got := schemas.Fold([]schemas.Message{hello}, tt.updates); !reflect.DeepEqual(got, []schemas.MessageState{tt.want}) {
			t.Errorf("%s:\n%+v, want\n%+v", tt.name, got, tt.want)
		}
	}
	if got := schemas.Fold(nil, []schemas.Message{change(1, "alice", schemas.ChangeEdit, "x")}); len(got) != 0 {
		t.Errorf("an update of a message that is not there: %+v", got)
	}
}

func TestFoldShowsTheNewestReactions(t *testing.T) {
	var updates []schemas.Message
	for i := range schemas.MaxReactions + 5 {
		updates = append(updates, change(i, schemas.UserID(fmt.Sprint("u", i)), schemas.ChangeReaction, "👍"))
	}
	got := schemas.Fold([]schemas.Message{{MessageID: first}}, updates)[0].Reactions
	if len(got) != schemas.MaxReactions || got[0].UserID != "u5" {
		t.Errorf("%d reactions, the first of %s", len(got), got[0].UserID)
	}
}

func TestKeptUntil(t *testing.T) {
	const days = schemas.HistoryDays * 24 * 60 * 60 * 1000
	soon, target := now+1000, schemas.MessageIDAt(now-500)
	update := func(change schemas.MessageChange, expires schemas.Timestamp) schemas.Message {
		return schemas.Message{Timestamp: now, Change: change, TargetMessageID: target, ExpiresAt: expires}
	}
	for _, tt := range []struct {
		name string
		m    schemas.Message
		want schemas.Timestamp
	}{
		{"a message", schemas.Message{Timestamp: now}, now + days},
		{"one that disappears", schemas.Message{Timestamp: now, ExpiresAt: soon}, soon - 1},
		{"one that disappears after history", schemas.Message{Timestamp: now, ExpiresAt: now + days + 9}, now + days},
		{"a reaction", update(schemas.ChangeReaction, 0), now - 500 + days},
		{"an edit that disappears", update(schemas.ChangeEdit, soon), soon - 1},
		{"a deletion does not disappear", update(schemas.ChangeDelete, soon), now - 500 + days},
	} {
		if got := tt.m.KeptUntil(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestFoldFitsIntoAMessage: a page fits into one NATS message for any reactions.
func TestFoldFitsIntoAMessage(t *testing.T) {
	var messages, updates []schemas.Message
	for i := range schemas.HistoryPageSize {
		messages = append(messages, schemas.Message{MessageID: schemas.MessageID(fmt.Sprintf("%s%04d", first[:22], i)),
			SenderID: schemas.UserID(strings.Repeat("\"", 128)), Content: strings.Repeat("\x01", schemas.MaxContentRunes)})
		for u := range schemas.MaxReactions {
			one := change(i*schemas.MaxReactions+u, schemas.UserID(fmt.Sprintf("%s%03d", strings.Repeat("\"", 125), u)), schemas.ChangeReaction,
				strings.Repeat("\x01", schemas.MaxReactionRunes))
			one.TargetMessageID = messages[i].MessageID
			updates = append(updates, one)
		}
	}
	page := schemas.Fold(messages, updates)
	if size := len(schemas.Encode(schemas.HistoryReply{Messages: page})); size > 1<<20 {
		t.Errorf("%d bytes", size)
	}
	if n := len(page[0].Reactions); n != schemas.MaxReactions {
		t.Errorf("the first message shows %d reactions", n)
	}
}

// TestDisappearingIn: of the settings of two users the newer one applies, for both.
func TestDisappearingIn(t *testing.T) {
	chose := func(u schemas.UserID, days int, id schemas.MessageID) schemas.Settings {
		s, ok := schemas.DefaultSettings().SetTimer(schemas.ChatTimer{UserID: u, DisappearingDays: days, Chosen: id})
		if !ok {
			t.Fatal("no room for one timer")
		}
		return s
	}
	none := schemas.DefaultSettings()
	tests := []struct {
		name       string
		alice, bob schemas.Settings
		want       int
	}{
		{"no setting", none, none, 0},
		{"a setting of one user", chose("bob", 7, first), none, 7},
		{"a setting of the other user", none, chose("alice", 1, first), 1},
		{"the newer one", chose("bob", 7, first), chose("alice", 1, second), 1},
		{"never, by the newer one", chose("bob", 0, second), chose("alice", 1, first), 0},
		{"of another chat", chose("carol", 7, first), none, 0},
	}
	for _, tt := range tests {
		if got := schemas.DisappearingIn("alice", tt.alice, "bob", tt.bob); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
		if got := schemas.DisappearingIn("bob", tt.bob, "alice", tt.alice); got != tt.want {
			t.Errorf("%s, asked by the other: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestSetTimer(t *testing.T) {
	s := schemas.DefaultSettings()
	for i := range schemas.MaxTimers {
		var ok bool
		if s, ok = s.SetTimer(schemas.ChatTimer{UserID: schemas.UserID(fmt.Sprint("u", i)), DisappearingDays: 1, Chosen: first}); !ok {
			t.Fatalf("no room for the timer %d", i)
		}
	}
	if _, ok := s.SetTimer(schemas.ChatTimer{UserID: "bob", DisappearingDays: 1, Chosen: first}); ok {
		t.Errorf("more than %d timers", schemas.MaxTimers)
	}
	changed, ok := s.SetTimer(schemas.ChatTimer{UserID: "u7", Chosen: second})
	if !ok || changed.Timer("u7").Chosen != second || len(changed.Timers) != schemas.MaxTimers {
		t.Errorf("%v: %+v of %d", ok, changed.Timer("u7"), len(changed.Timers))
	}
	if again, ok := changed.SetTimer(schemas.ChatTimer{UserID: "bob", DisappearingDays: 1, Chosen: second}); !ok || len(again.Timers) != schemas.MaxTimers+1 {
		t.Errorf("%v: no room where one chat is done with", ok)
	}
	for i := range schemas.MaxTimers { // u7 is the oldest, and is evicted
		id := schemas.MessageID(fmt.Sprintf("%s%04d", second[:22], i))
		if changed, ok = changed.SetTimer(schemas.ChatTimer{UserID: schemas.UserID(fmt.Sprint("never", i)), Chosen: "0" + id[1:]}); !ok {
			t.Fatalf("no room for the choice %d of never", i)
		}
	}
	if n := len(changed.Timers); n != 2*schemas.MaxTimers-1 {
		t.Errorf("%d timers", n)
	}
	if s.Timer("u7").Chosen != first {
		t.Error("the settings that others share were changed")
	}
}

func TestExpiresAt(t *testing.T) {
	if got := schemas.ExpiresAt(now, 0); got != 0 {
		t.Errorf("never is %d", got)
	}
	if got, want := schemas.ExpiresAt(now, 7), schemas.TimestampOf(now.Time().Add(7*24*time.Hour)); got != want {
		t.Errorf("%d, want %d", got, want)
	}
	for _, tt := range []struct {
		m    schemas.Message
		want bool
	}{{schemas.Message{}, false}, {schemas.Message{ExpiresAt: now}, true}, {schemas.Message{ExpiresAt: now + 1}, false}} {
		if got := tt.m.Expired(now); got != tt.want {
			t.Errorf("expires at %d: %v", tt.m.ExpiresAt, got)
		}
	}
}
