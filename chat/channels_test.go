package chat

import (
	"fmt"
	"strings"
	"testing"

	"roost/gateway"
	"roost/schemas"
)

// Two users in a channel see the lines of each other, and their own lines once.
func TestInAChannel(t *testing.T) {
	srv := chatServer(t, func(o *gateway.Options) { o.GroupPushLimit = 2 })
	srv.Account("carol", "correct horse")
	bob := startChat(t, srv.URL, "bob", nil)
	bob.sees(`You are bob on laptop.*`)
	alice := startChat(t, srv.URL, "alice", nil)
	alice.types("/group create town", "/group add bob carol")
	alice.sees(`.*added carol to town.*`)
	bob.sees(`.*added carol to town.*`)
	alice.types("hello, town")
	alice.sees(`✓ hello, town`)
	bob.sees(`\[\d\d:\d\d\] alice in town: hello, town`)
	bob.types("/group open town", "hello, alice")
	bob.sees(`✓ hello, alice`)
	alice.sees(`\[\d\d:\d\d\] bob in town: hello, alice`)
	bob.types("/history")
	bob.sees(`\[\d\d:\d\d\] alice: hello, town`)
	bob.sees(`\[\d\d:\d\d\] bob: hello, alice`)
	later := startChat(t, srv.URL, "carol", nil)
	later.sees(`town has messages; open it, and /history shows them\.`)
	for range 2 {
		alice.types("and once more")
		alice.sees(`✓ and once more`)
		later.sees(`\[\d\d:\d\d\] alice in town: and once more`)
	}
	alice.types("/quit")
	if err := alice.ends(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(alice.whole.String(), "hello, town"); n != 1 {
		t.Errorf("alice sees her own line %d times", n)
	}
}

// What is done to messages of a channel that are on the screen shows, once.
func TestUpdatesInAChannel(t *testing.T) {
	srv := chatServer(t, func(o *gateway.Options) { o.GroupPushLimit = 1 })
	bob := startChat(t, srv.URL, "bob", nil)
	bob.sees(`You are bob.*`)
	alice := startChat(t, srv.URL, "alice", nil)
	alice.types("/group create town", "/group add bob", "Eight?")
	alice.sees(`✓ Eight\?`)
	bob.sees(`\[..:..\] alice in town: Eight\?`)
	alice.types("/edit Nine?")
	alice.sees(`✓ edit: Nine\?`)
	bob.sees(`\[..:..\] alice in town edited \(re: Eight\?\): Nine\?`)
	bob.types("/group open town", "/react 👍")
	bob.sees(`✓ 👍 to Nine\?`)
	alice.sees(`\[..:..\] bob in town reacted 👍 to Nine\?`)
	bob.types("/unreact")
	alice.sees(`\[..:..\] bob in town took a reaction back, to Nine\?`)
	alice.types("/delete", "And now?")
	alice.sees(`✓ deletion of Nine\?`)
	bob.sees(`\[..:..\] alice in town deleted a message of \d\d:\d\d`)
	bob.sees(`\[..:..\] alice in town: And now\?`)
	bob.types("/messages")
	bob.sees(`#1 \[..:..\] alice: \(deleted\)`)
	bob.types("Ten")
	alice.sees(`\[..:..\] bob in town: Ten`)
	for _, p := range []*chatter{alice, bob} {
		p.types("/blocks")
		p.sees(`You block no user\.`)
		for _, once := range []string{" in town edited", " in town reacted", " took a reaction", " in town deleted"} {
			if n := strings.Count(p.saw(), once); n > 1 || p == alice && strings.Contains(p.saw(), "you"+once) {
				t.Errorf("%q is shown %d times", once, n)
			}
		}
	}
}

// A page of a channel shows what changed since the last one: many reactions in one
// row, none of this user's while a message has no answer, and an edit that was made
// on another device after one that was made here.
func TestShowsChanges(t *testing.T) {
	c, out := offlineSession(t, "bob", "")
	group := schemas.GroupID("g-" + string(chatMessageID(7)))
	c.chats.names[group] = "town"
	now := schemas.Now()
	page := schemas.HistoryMessage{MessageID: chatMessageID(1), SenderID: "alice", GroupID: group, Content: "Nine?", Timestamp: now}
	c.messages.addStored(page)
	shown := func() string {
		out.Reset()
		c.channels.showUpdates(page)
		return strings.ReplaceAll(out.String(), "["+clock(now)+"] ", "")
	}
	expect := func(expected string) {
		t.Helper()
		if got := shown(); got != expected {
			t.Errorf("shown: %q instead of %q", got, expected)
		}
		if got := shown(); got != "" {
			t.Errorf("shown again: %q", got)
		}
	}
	expect("")
	page.Reactions = []schemas.Reaction{{UserID: "bob", Reaction: "👍"}, {UserID: "carol", Reaction: "\x1b"}}
	c.sender.unanswered = 1
	expect("carol in town reacted \uFFFD to Nine?\n")
	c.sender.unanswered = 0
	page.Reactions = page.Reactions[:1]
	expect("carol in town took a reaction back, to Nine?\n")
	for i := range 5 {
		page.Reactions = append(page.Reactions, schemas.Reaction{UserID: schemas.UserID(fmt.Sprint("user", i)), Reaction: "👍"})
	}
	page.Content, page.EditedAt = "Ten?", now
	expect("alice in town edited (re: Nine?): Ten?\nreactions in town to Ten?: 👍 you, user0, user1, 3 more\n")
	page.Content, page.Reactions, page.EditedAt, page.Deleted = "", nil, 0, true
	expect("alice in town deleted a message of " + clock(page.MessageID.Time()) + "\n")

	page = schemas.HistoryMessage{MessageID: chatMessageID(2), SenderID: "bob", GroupID: group, Content: "one", Timestamp: now}
	c.messages.addStored(page)
	here := schemas.Message{MessageID: chatMessageID(3), SenderID: "bob", GroupID: group, Change: schemas.ChangeEdit, Content: "two",
		TargetMessageID: page.MessageID, Timestamp: now}
	c.messages.apply(here)
	page.Content, page.EditedAt = "two", now
	expect("")
	page.Content, page.EditedAt = "three", now+1
	expect("you in town edited (re: two): three\n")
}
