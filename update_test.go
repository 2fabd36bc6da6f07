package main

import (
	"reflect"
	"testing"

	"roost/client"
	"roost/schemas"
)

// TestUpdatesInHistory goes through `roost serve` with the client: what is done to a
// message reaches the other, and shows in their history; so does a deletion by
// somebody whom they block meanwhile.
func TestUpdatesInHistory(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, freeAddress(t))
	alice, bob := join(t, s, dir, "alice"), join(t, s, dir, "bob")
	defer closeAll([]*client.Client{alice, bob})
	api := client.API{URL: s.url, Token: token(t, dir, "bob")}
	days := schemas.HistoryDays
	if _, err := api.ChangeSettings(t.Context(), schemas.SettingsChange{HistoryStorage: &days}); err != nil {
		t.Fatal(err)
	}
	toBob, toAlice := schemas.Participant{User: "bob"}, schemas.Participant{User: "alice"}
	sent, err := alice.Send(t.Context(), toBob, "hello", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := next[client.Message](t, bob).Ack(); err != nil {
		t.Fatal(err)
	}
	edited, err := alice.Edit(t.Context(), toBob, sent.MessageID, "hello, Bob")
	if err != nil {
		t.Fatal(err)
	}
	if u := next[client.MessageUpdate](t, bob); u.TargetMessageID != sent.MessageID || u.Content != "hello, Bob" || u.Ack() != nil {
		t.Errorf("bob got %+v", u)
	}
	if _, err := bob.React(t.Context(), toAlice, sent.MessageID, "👍"); err != nil {
		t.Fatal(err)
	}
	want := schemas.HistoryMessage{MessageID: sent.MessageID, SenderID: "alice", ReceiverID: "bob", Content: "hello, Bob", Timestamp: sent.Timestamp,
		EditedAt: edited.Timestamp, Reactions: []schemas.Reaction{{UserID: "bob", Reaction: "👍"}}}
	shows := func(what string) {
		t.Helper()
		var page []schemas.HistoryMessage
		eventually(t, what, func() bool {
			page, err = api.History(t.Context(), toAlice, schemas.PageBounds{})
			return err == nil && reflect.DeepEqual(page, []schemas.HistoryMessage{want})
		})
	}
	shows("history shows the edit and the reaction")
	if err := api.Block(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Delete(t.Context(), toBob, sent.MessageID); err != nil {
		t.Fatal(err)
	}
	want.Content, want.EditedAt, want.Deleted, want.Reactions = "", 0, true, nil
	shows("history shows that it was deleted")
}
