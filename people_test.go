package main

import (
	"testing"
	"time"

	"roost/client"
	"roost/schemas"
)

// TestPeople goes through `roost serve` with the client as an application does:
// presence, typing, receipts and blocks of two people.
func TestPeople(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, freeAddress(t))
	alice, bob := join(t, s, dir, "alice"), join(t, s, dir, "bob")
	if err := alice.SubscribePresence([]schemas.UserID{"bob"}); err != nil {
		t.Fatal(err)
	}
	if p := next[client.Presence](t, alice); p.UserID != "bob" || !p.Online {
		t.Errorf("got %+v", p)
	}
	toBob := schemas.Participant{User: "bob"}
	if err := alice.SendTyping(t.Context(), toBob); err != nil {
		t.Fatal(err)
	}
	if typing := next[client.Typing](t, bob); typing.UserID != "alice" {
		t.Errorf("got %+v", typing)
	}
	sent, err := alice.Send(t.Context(), toBob, "hello", nil)
	if err != nil {
		t.Fatal(err)
	}
	m := next[client.Message](t, bob)
	if err := m.Ack(); err != nil {
		t.Fatal(err)
	}
	if d := next[client.Delivered](t, alice); d.MessageID != sent.MessageID {
		t.Errorf("got %+v", d)
	}
	if err := bob.MarkRead(t.Context(), "", "alice", m.MessageID); err != nil {
		t.Fatal(err)
	}
	if r := next[client.Read](t, alice); r.MessageID != sent.MessageID || r.UserID != "bob" {
		t.Errorf("got %+v", r)
	}

	api := client.API{URL: s.url, Token: token(t, dir, "bob")}
	if err := api.Block(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if p := next[client.Presence](t, alice); p.Online || p.LastActiveTime != 0 {
		t.Errorf("blocked, alice got %+v", p)
	}
	if _, err := alice.Send(t.Context(), toBob, "anybody there?", nil); err != nil {
		t.Fatal(err)
	}
	if list, err := api.Blocks(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("blocks: %v, %v", list, err)
	}
	if err := api.Unblock(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if p := next[client.Presence](t, alice); !p.Online {
		t.Errorf("got %+v", p)
	}
	if _, err := alice.Send(t.Context(), toBob, "again", nil); err != nil {
		t.Fatal(err)
	}
	if m := next[client.Message](t, bob); m.Content != "again" {
		t.Errorf("got %q", m.Content)
	}
	if err := bob.Close(); err != nil {
		t.Error(err)
	}
	left := time.Now()
	if p := next[client.Presence](t, alice); p.Online || p.LastActiveTime.Time().After(left.Add(time.Second)) {
		t.Errorf("got %+v", p)
	}
	if err := alice.Close(); err != nil {
		t.Error(err)
	}
}
