package historytest

import (
	"testing"

	"roost/schemas"
)

var deleteTests = []test{
	{"NothingExpired", func(t *testing.T, f *fixture) {
		wantCount(t, "deleted from an empty store", f.deleteExpired(f.now), 0)
		m := series(f.now-day, 2)
		f.append(m...)
		wantCount(t, "deleted of young messages", f.deleteExpired(f.now), 0)
		wantPage(t, f.all(chatOf(alice, bob)), m...)
	}},
	{"ExpiredToTheMillisecond", func(t *testing.T, f *fixture) {
		m := series(f.now-day, 5)
		f.append(m...)
		wantCount(t, "deleted", f.deleteExpired(m[2].Timestamp+retention), 2)
		wantPage(t, f.all(chatOf(alice, bob)), m[2:]...)
		wantCount(t, "deleted again", f.deleteExpired(m[2].Timestamp+retention), 0)
	}},
	{"ExpiredInAllChats", func(t *testing.T, f *fixture) {
		kept := direct(bob, carol, f.now-day, 9)
		f.append(direct(alice, bob, f.now-2*day, 1), toGroup(alice, group, f.now-2*day, 2), direct(bob, carol, f.now-2*day, 3), kept)
		wantCount(t, "deleted", f.deleteExpired(f.now-day+retention), 3)
		wantPage(t, f.all(chatOf(alice, bob)))
		wantPage(t, f.all(schemas.ChatID(group)))
		wantPage(t, f.all(chatOf(bob, carol)), kept)
	}},
	{"ExpiredMoreThanAThousand", func(t *testing.T, f *fixture) {
		m := series(f.now-day, 2_503)
		f.append(m...)
		wantCount(t, "deleted", f.deleteExpired(m[2_500].Timestamp+retention), 2_500)
		wantPage(t, f.all(chatOf(alice, bob)), m[2_500:]...)
	}},
	{"ExpiredByTheClock", func(t *testing.T, f *fixture) {
		// The store may have deleted some by itself: see the package comment.
		f.append(series(f.now-retention-day, 3)...)
		kept := direct(alice, bob, f.now-day, 9)
		f.append(kept)
		f.deleteExpired(f.now)
		wantPage(t, f.all(chatOf(alice, bob)), kept)
		wantCount(t, "deleted again", f.deleteExpired(f.now), 0)
	}},
	{"Before", func(t *testing.T, f *fixture) {
		m := series(f.now-day, 5)
		f.append(m...)
		chat := chatOf(alice, bob)
		wantCount(t, "deleted before the first", f.deleteBefore(chat, m[0].Timestamp), 0)
		wantCount(t, "deleted before the third", f.deleteBefore(chat, m[2].Timestamp), 2)
		wantPage(t, f.all(chat), m[2:]...)
		wantCount(t, "deleted before the third again", f.deleteBefore(chat, m[2].Timestamp), 0)
		wantCount(t, "deleted before the end", f.deleteBefore(chat, endless), 3)
		wantPage(t, f.all(chat))
	}},
	{"Between", func(t *testing.T, f *fixture) {
		m := series(f.now-day, 5)
		f.append(m...)
		chat := chatOf(alice, bob)
		wantCount(t, "deleted from an empty range", f.deleteBetween(chat, m[2].Timestamp, m[2].Timestamp), 0)
		wantCount(t, "deleted from the second to the fourth", f.deleteBetween(chat, m[1].Timestamp, m[3].Timestamp), 2)
		wantPage(t, f.all(chat), m[0], m[3], m[4])
		wantCount(t, "deleted after the last", f.deleteBetween(chat, m[4].Timestamp+1, endless), 0)
		wantCount(t, "deleted from the last on", f.deleteBetween(chat, m[4].Timestamp, endless), 1)
		wantPage(t, f.all(chat), m[0], m[3])
	}},
	{"BeforeInOneChatOnly", func(t *testing.T, f *fixture) {
		at := f.now - day
		others := []schemas.Message{direct(alice, carol, at, 1), direct(bob, carol, at, 2), toGroup(alice, group, at, 3), direct(alice, alice, at, 4)}
		f.append(others...)
		f.append(series(at, 3)...)
		wantCount(t, "deleted", f.deleteBefore(chatOf(bob, alice), endless), 3)
		wantPage(t, f.all(chatOf(alice, carol)), others[0])
		wantPage(t, f.all(chatOf(bob, carol)), others[1])
		wantPage(t, f.all(schemas.ChatID(group)), others[2])
		wantPage(t, f.all(chatOf(alice, alice)), others[3])
		wantCount(t, "deleted from a chat that does not exist", f.deleteBefore(chatOf("dave", "erin"), endless), 0)
	}},
	{"BeforeMoreThanAThousand", func(t *testing.T, f *fixture) {
		m := series(f.now-day, 2_001)
		f.append(m...)
		wantCount(t, "deleted", f.deleteBefore(chatOf(alice, bob), m[2_000].Timestamp), 2_000)
		wantPage(t, f.all(chatOf(alice, bob)), m[2_000])
	}},
	{"AppendAfterDelete", func(t *testing.T, f *fixture) {
		m := series(f.now-day, 2)
		f.append(m...)
		f.deleteBefore(chatOf(alice, bob), endless)
		f.append(m...)
		wantPage(t, f.all(chatOf(alice, bob)), m...)
		wantChats(t, f.chats(bob), chatOf(alice, bob))
	}},
}
