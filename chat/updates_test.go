package chat

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"roost/client"
	"roost/client/clienttest"
	"roost/schemas"
)

// A user edits, reacts and deletes, and the other user sees it.
func TestUpdates(t *testing.T) {
	srv := chatServer(t)
	bob := startChat(t, srv.URL, "bob", nil)
	bob.sees(`You are bob.*`)
	alice := startChat(t, srv.URL, "alice", func(o *Options) { o.To = "bob" })
	alice.types("Lunch?", "Dinner at eight?", "/edit Dinner at nine?") // the edit does not wait for the answers
	alice.sees(`✓ edit: Dinner at nine\?`)
	bob.sees(`\[..:..\] alice: Dinner at eight\?`)
	bob.sees(`\[..:..\] alice edited \(re: Dinner at eight\?\): Dinner at nine\?`)
	alice.sees(`✓✓ edit: Dinner at nine\?`)

	bob.types("/react 👍", "/to alice", "/react 👍", "/reply 1 Gladly")
	bob.sees(`there is no such message here.*|no chat is open.*`)
	bob.sees(`✓ 👍 to Dinner at nine\?`)
	alice.sees(`\[..:..\] bob reacted 👍 to Dinner at nine\?`)
	alice.sees(`\[..:..\] bob \(re: Dinner at nine\?\): Gladly`)
	bob.types("/delete #1")
	bob.sees(`✗ deletion of Lunch\?: not sent: it is no message of yours in that chat.*`)
	bob.types("/react #9 🥪", "/edit #3")
	bob.sees(`there is no #9 here; .*`)
	bob.sees(`the new text is missing: .*`)
	bob.types("/react #1 🥪", "/edit #2 no")
	bob.sees(`✓ 🥪 to Lunch\?`)
	bob.sees(`✗ edit: no: not sent: .*`)
	alice.sees(`\[..:..\] bob reacted 🥪 to Lunch\?`)
	alice.types("/messages")
	alice.sees(`#1 \[..:..\] alice: Lunch\? \[🥪 bob\]`)
	alice.sees(`#2 \[..:..\] alice: Dinner at nine\? \(edited\) \[👍 bob\]`)
	alice.sees(`#3 \[..:..\] bob \(re: Dinner at nine\?\): Gladly`)
	alice.types("/react #2 🎉", "/messages 2")
	alice.sees(`✓ 🎉 to Dinner at nine\?`)
	bob.sees(`\[..:..\] alice reacted 🎉 to Dinner at nine\?`)

	alice.types("/unreact", "/delete #1", "/delete")
	alice.sees(`✓ no reaction to Dinner at nine\?`)
	alice.sees(`✓ deletion of Lunch\?`)
	alice.sees(`✓ deletion of Dinner at nine\?`)
	bob.sees(`\[..:..\] alice took a reaction back, to Dinner at nine\?`)
	bob.sees(`\[..:..\] alice deleted a message of \d\d:\d\d`)
	bob.sees(`\[..:..\] alice deleted a message of \d\d:\d\d`)
	for _, p := range []*chatter{alice, bob} {
		p.types("/messages", "/blocks")
		text := p.until(`You block no user\.`)
		if strings.Count(text, "alice: (deleted)\n") != 2 || !strings.Contains(text, "bob (re: a deleted message): Gladly") {
			t.Errorf("what is left:\n%s", text)
		}
	}
}

// Without a message to change the commands say so, and nothing is sent.
func TestUpdatesNothing(t *testing.T) {
	srv := chatServer(t)
	srv.Account("bob", "correct horse")
	alice := startChat(t, srv.URL, "alice", nil)
	for _, step := range []struct{ line, pattern string }{
		{"/messages", `no chat is open; .*`},
		{"/disappear", `no chat is open; .*`},
		{"/edit x", `no chat is open; .*`},
		{"/delete", `no chat is open; .*`},
		{"/unreact", `no chat is open; .*`},
		{"/to bob", `You write to bob\.`},
		{"/messages", `no message was shown here; .*`},
		{"/messages all", `COUNT is a number: .*`},
		{"/edit x", `✗ edit: x: not sent: this device knows no message of yours here; .*`},
		{"/delete", `✗ deletion of an earlier message: not sent: this device knows no message of yours here.*`},
		{"/delete 1", `name one message; .*`},
		{"/unreact 1", `name one message; .*`},
		{"/react 👍", `there is no such message here; .*`},
		{"/react so so", `usage: .*`},
		{"/react", `  /react \[#N\] REACTION .*`},
		{"/unreact", `there is no such message here; .*`},
		{"/reply #1 so", `there is no #1 here; .*`},
		{"/disappear 2", `say off, 1, 7 or 90`},
		{"/disappear", `Messages here stay\.`},
	} {
		alice.types(step.line)
		alice.sees(step.pattern)
	}
}

// A device that never had a message shows the updates of it, in groups and on terminals
// too.
func TestUpdatesOfWhatWasNotSeen(t *testing.T) {
	srv := chatServer(t)
	alice := startChat(t, srv.URL, "alice", nil)
	alice.sees(`You are alice.*`)
	srv.Account("bob", "correct horse")
	alice.types("/group create team", "/group add bob", "one")
	alice.sees(`✓ one`)
	phone := startChat(t, srv.URL, "alice", func(o *Options) { o.Device = "phone" })
	phone.sees(`You are alice on phone.*`)
	bob := startChat(t, srv.URL, "bob", nil) // his first device gets the messages from before
	bob.sees(`\[..:..\] alice in team: one`)
	alice.types("/edit two")
	phone.sees(`\[..:..\] you in team edited \(re: an earlier message\): two`)
	bob.sees(`\[..:..\] alice in team edited \(re: one\): two`)
	bob.types("/group open team", "/react #1 👍")
	phone.sees(`\[..:..\] bob in team reacted 👍 to an earlier message`)
	alice.types("/delete", "three")
	phone.sees(`\[..:..\] you in team deleted a message of \d\d:\d\d`)
	phone.types("/group open team", "/messages")
	phone.sees(`\[..:..\] you in team: three`)
	phone.types("/messages", "/delete #1")
	phone.sees(`#1 \[..:..\] alice: three`)
	phone.sees(`✓ deletion of three`)
	bob.sees(`\[..:..\] alice in team deleted a message of \d\d:\d\d`)

	alice.types("four", "five", "/delete")
	alice.sees(`✓ deletion of five`)
	alice.types("/delete")
	alice.sees(`✓ deletion of four`)
}

// A chat of two, or a group, in which messages disappear.
func TestDisappear(t *testing.T) {
	srv := chatServer(t)
	bob := startChat(t, srv.URL, "bob", nil)
	bob.sees(`You are bob.*`)
	alice := startChat(t, srv.URL, "alice", func(o *Options) { o.To = "bob" })
	alice.types("for ever")
	alice.sees(`✓ for ever`)
	alice.types("/disappear 7")
	alice.sees(`\[..:..\] \* you chose: messages with bob disappear after 7 days`)
	bob.sees(`\[..:..\] alice: for ever`)
	bob.sees(`\[..:..\] \* alice chose: messages with you disappear after 7 days`)
	alice.types("for a week")
	week := schemas.Now().Time().Local().Add(7 * 24 * time.Hour).Format("2006-01-02")
	until := ` \(until ` + week + ` \d\d:\d\d\)`
	bob.sees(`\[..:..\] alice: for a week` + until)
	alice.sees(`✓ for a week`)
	alice.types("/messages", "/disappear")
	alice.sees(`#1 \[..:..\] alice: for ever`)
	alice.sees(`#2 \[..:..\] alice: for a week` + until)
	alice.sees(`Messages here disappear after 7 days\.`)
	bob.types("/to alice")
	bob.sees(`Messages here disappear after 7 days\.`)
	bob.types("/disappear off")
	alice.sees(`\[..:..\] \* bob chose: messages with you stay`)
	bob.sees(`\[..:..\] \* you chose: messages with alice stay`)

	alice.types("/group create team", "/group add bob")
	bob.sees(`.*alice added you to team.*`)
	alice.types("/disappear 1", "for a day")
	alice.sees(`\[..:..\] \* you chose: messages in team disappear after 1 day`)
	bob.sees(`\[..:..\] \* alice chose: messages in team disappear after 1 day`)
	bob.sees(`\[..:..\] alice in team: for a day \(until .*\)`)
	bob.types("/group list", "/group open team", "/disappear 90")
	bob.sees(`g-.* team, 2 members, you are a member, messages disappear after 1 day`)
	bob.sees(`Messages here disappear after 1 day\.`)
	bob.sees(`Only the owner and the admins of the group may do this`)
}

// A device that has only the history sees in it what was done.
func TestUpdatesInHistory(t *testing.T) {
	srv := chatServer(t)
	srv.Account("bob", "correct horse")
	alice := startChat(t, srv.URL, "alice", func(o *Options) { o.To = "bob" })
	alice.types("/set history on", "/disappear 7")
	alice.sees(`\[..:..\] \* you chose: .*`)
	alice.types("first", "/edit second", "/react #1 👍", "secret", "/delete")
	alice.sees(`✓ secret`)
	alice.sees(`✓ deletion of secret`)
	alice.types("/react #1 🎉") // history that shows it has all before it
	alice.sees(`✓ 🎉 to second`)
	phone := startChat(t, srv.URL, "alice", func(o *Options) { o.Device, o.To = "phone", "bob" })
	for !shows(phone, "/history", "[🎉 you]") {
	}
	phone.types("/history")
	phone.sees(`\[..:..\] alice: second \(edited\) \[🎉 you\] \(until .*\)`)
	phone.sees(`\[..:..\] alice: \(deleted\)`)
	if strings.Contains(phone.saw(), "secret") {
		t.Error("the content of a deleted message is shown")
	}
}

// offlineSession is a session whose events are those of the test.
func offlineSession(t *testing.T, me, peer schemas.UserID) (*session, *bytes.Buffer) {
	t.Helper()
	srv := clienttest.New()
	t.Cleanup(srv.Close)
	c, err := client.Connect(t.Context(), client.Options{URL: srv.URL, Token: srv.Account(me, "correct horse"), DeviceName: "laptop"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	var out bytes.Buffer
	return newSession(&account{}, c, &screen{out: &out}, schemas.Participant{User: peer}), &out
}

func chatMessage(n int, from, to schemas.UserID, content string) schemas.Message {
	return schemas.Message{MessageID: chatMessageID(n), SenderID: from, ReceiverID: to, Content: content, Timestamp: schemas.Now()}
}

func chatMessageID(n int) schemas.MessageID {
	return schemas.MessageID(fmt.Sprintf("01JD0000000000000000%06d", n))
}

func chatUpdate(n int, m schemas.Message, by schemas.UserID, change schemas.MessageChange, content string) schemas.Message {
	u := chatMessage(n, by, m.ReceiverID, content)
	if by != m.SenderID {
		u.ReceiverID = m.SenderID
	}
	u.Change, u.TargetMessageID = change, m.MessageID
	return u
}

// Updates count in whichever order they come, before their message too, and none of
// another chat.
func TestKnowsUpdatesInAnyOrder(t *testing.T) {
	m := chatMessage(1, "alice", "bob", "first")
	edits := []schemas.Message{chatUpdate(2, m, "alice", schemas.ChangeEdit, "second"), chatUpdate(3, m, "alice", schemas.ChangeEdit, "third")}
	stray := chatUpdate(4, m, "carol", schemas.ChangeReaction, "👎")
	for _, order := range [][]schemas.Message{{m, edits[0], stray, edits[1]}, {m, edits[1], edits[0], stray}, {edits[1], stray, m, edits[0]}, {stray, edits[1], edits[0], m}} {
		var c messages
		for _, x := range order {
			if x.IsUpdate() {
				c.apply(x)
			} else {
				c.add(x)
			}
		}
		if s := c.add(m); s.Content != "third" || s.EditedAt == 0 || len(s.Reactions) != 0 || len(c.early) != 0 {
			t.Errorf("it is %+v, and %d updates wait", s, len(c.early))
		}
	}
	var c messages
	for n := range maxKnown + 1 {
		c.apply(chatUpdate(3*maxKnown+n, chatMessage(n, "alice", "bob", ""), "alice", schemas.ChangeDelete, ""))
		c.add(chatMessage(maxKnown+1+n, "alice", "bob", "x"))
	}
	if len(c.early) != maxKnown || len(c.known) != maxKnown {
		t.Errorf("%d messages are known, %d updates wait", len(c.known), len(c.early))
	}
	if c.add(chatMessage(0, "alice", "bob", "x")).Deleted || !c.add(chatMessage(maxKnown, "alice", "bob", "x")).Deleted {
		t.Error("another one than the oldest is dropped")
	}
}

// What has disappeared is not shown, quoted or changed any more.
func TestForgetsWhatDisappeared(t *testing.T) {
	c, out := offlineSession(t, "bob", "alice")
	gone := chatMessage(1, "alice", "bob", "gone")
	gone.ExpiresAt = schemas.Now() - 1
	edit := chatUpdate(2, gone, "alice", schemas.ChangeEdit, "gone as well")
	edit.ExpiresAt = gone.ExpiresAt
	c.message(client.Message{Message: gone})
	c.updated(client.MessageUpdate{Message: client.Message{Message: edit}})
	if out.Len() > 0 {
		t.Errorf("shown: %s", out)
	}
	soon := chatMessage(3, "alice", "bob", "soon gone")
	soon.ExpiresAt = schemas.Now() + 60_000
	c.message(client.Message{Message: soon})
	c.messages.known[0].ExpiresAt = schemas.Now() - 1 // a minute later
	c.updated(client.MessageUpdate{Message: client.Message{Message: chatUpdate(5, soon, "alice", schemas.ChangeReaction, "👍")}})
	answer := chatMessage(4, "alice", "bob", "an answer")
	answer.ReplyTo = soon.MessageID
	c.message(client.Message{Message: answer})
	updates := &messageCommands{screen: c.screen, view: c.view, messages: c.messages, open: c.open}
	if err := updates.list(t.Context(), args{}); err != nil {
		t.Fatal(err)
	}
	now := clock(schemas.Now())
	expected := fmt.Sprintf("[%s] alice: soon gone (until %s)\n[%s] alice reacted 👍 to an earlier message\n"+
		"[%s] alice (re: an earlier message): an answer\n#2 [%s] alice (re: an earlier message): an answer\n",
		now, clock(soon.ExpiresAt), now, now, now)
	if out.String() != expected {
		t.Errorf("shown:\n%s\ninstead of:\n%s", out, expected)
	}
	if _, _, err := updates.choose("#1 x"); err == nil {
		t.Error("it can be changed")
	}
}

// A page of history shows what was done to messages; so do later updates.
func TestHistoryShowsUpdates(t *testing.T) {
	c, out := offlineSession(t, "bob", "alice")
	page := schemas.HistoryMessage{MessageID: chatMessageID(1), SenderID: "alice", ReceiverID: "bob", Content: "Nine?", Timestamp: schemas.Now(), EditedAt: schemas.Now(),
		ExpiresAt: schemas.Now() + 60_000, Reactions: []schemas.Reaction{{UserID: "bob", Reaction: "👍"}, {UserID: "alice", Reaction: "🎉"}}}
	h := &history{screen: c.screen, view: c.view, messages: c.messages, open: c.open}
	row := func(m schemas.HistoryMessage) string {
		out.Reset()
		h.showPage([]schemas.HistoryMessage{m})
		_, text, _ := strings.Cut(strings.TrimSuffix(out.String(), "\n"), "] ")
		return text
	}
	until := " (until " + clock(page.ExpiresAt) + ")"
	first := page
	first.Content, first.EditedAt, first.Reactions = "Eight?", 0, []schemas.Reaction{{UserID: "alice", Reaction: "👎"}}
	if got, expected := row(first), "alice: Eight? [👎 alice]"+until; got != expected {
		t.Errorf("%q instead of %q", got, expected)
	}
	if got, expected := row(page), "alice: Nine? (edited) [👍 you; 🎉 alice]"+until; got != expected {
		t.Errorf("%q instead of %q", got, expected)
	}
	m, _ := stored(page)
	c.messages.apply(chatUpdate(5, m, "bob", schemas.ChangeReaction, ""))
	c.messages.apply(chatUpdate(6, m, "alice", schemas.ChangeEdit, "Ten?"))
	if got, expected := row(page), "alice: Ten? (edited) [🎉 alice]"+until; got != expected {
		t.Errorf("after an update that no page has yet: %q instead of %q", got, expected)
	}
	deleted := schemas.HistoryMessage{MessageID: chatMessageID(2), SenderID: "alice", ReceiverID: "bob", Timestamp: schemas.Now(), Deleted: true}
	if got := row(deleted); got != "alice: (deleted)" {
		t.Errorf("a deleted message: %q", got)
	}
	gone := schemas.HistoryMessage{MessageID: chatMessageID(4), SenderID: "alice", ReceiverID: "bob", Content: "gone", Timestamp: 1, ExpiresAt: 2}
	if got := row(gone); got != "" {
		t.Errorf("what disappeared meanwhile: %q", got)
	}
	many := schemas.HistoryMessage{MessageID: chatMessageID(3), SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: schemas.Now()}
	for _, user := range []schemas.UserID{"a", "b", "c", "d", "e"} {
		many.Reactions = append(many.Reactions, schemas.Reaction{UserID: user, Reaction: "\x1b[2J"})
	}
	if got := row(many); got != "alice: x [\uFFFD[2J a, b, c, 2 more]" {
		t.Errorf("many reactions: %q", got)
	}
}
