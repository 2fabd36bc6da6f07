package historytest

import (
	"testing"

	"roost/schemas"
)

var chatsTests = []test{
	{"Empty", func(t *testing.T, f *fixture) {
		wantChats(t, f.chats(alice))
		f.append(direct(bob, carol, f.now-day, 1))
		wantChats(t, f.chats(alice))
	}},
	{"OfSenderAndReceiver", func(t *testing.T, f *fixture) {
		f.append(direct(alice, bob, f.now-day, 1), direct(carol, alice, f.now-day, 2), direct(alice, alice, f.now-day, 3))
		wantChats(t, f.chats(alice), chatOf(alice, bob), chatOf(alice, carol), chatOf(alice, alice))
		wantChats(t, f.chats(bob), chatOf(alice, bob))
		wantChats(t, f.chats(carol), chatOf(alice, carol))
	}},
	{"EachOnce", func(t *testing.T, f *fixture) {
		f.append(series(f.now-day, 300)...)
		f.append(direct(bob, alice, f.now-day, 900))
		wantChats(t, f.chats(alice), chatOf(alice, bob))
		wantChats(t, f.chats(bob), chatOf(alice, bob))
	}},
	{"GroupsOfSendersOnly", func(t *testing.T, f *fixture) {
		f.append(toGroup(alice, group, f.now-day, 1), toGroup(bob, group, f.now-day, 2), direct(carol, bob, f.now-day, 3))
		wantChats(t, f.chats(alice), schemas.ChatID(group))
		wantChats(t, f.chats(bob), schemas.ChatID(group), chatOf(bob, carol))
		wantChats(t, f.chats(carol), chatOf(bob, carol))
	}},
	{"Many", func(t *testing.T, f *fixture) {
		const n = 250
		var batch []schemas.Message
		var want []schemas.ChatID
		for i := range n {
			other := schemas.UserID("user " + idAt(f.now, i))
			batch = append(batch, direct(other, alice, f.now-day, i))
			want = append(want, chatOf(other, alice))
		}
		f.append(batch...)
		wantChats(t, f.chats(alice), want...)
	}},
	{"OfStoredMessagesOnly", func(t *testing.T, f *fixture) {
		at := f.now - day
		f.append(toGroup(alice, group, at, 1), toGroup(bob, group, at+second, 2), direct(alice, bob, at, 3))
		f.deleteBefore(schemas.ChatID(group), at+second) // only bob's message stays
		wantChats(t, f.chats(alice), chatOf(alice, bob))
		wantChats(t, f.chats(bob), chatOf(alice, bob), schemas.ChatID(group))
		f.deleteExpired(at + second + retention)
		wantChats(t, f.chats(alice))
		wantChats(t, f.chats(bob), schemas.ChatID(group))
		f.deleteBefore(schemas.ChatID(group), endless)
		wantChats(t, f.chats(bob))
	}},
}
