package historytest

import (
	"fmt"
	"testing"

	"roost/schemas"
)

var pageTests = []test{
	{"Empty", func(t *testing.T, f *fixture) {
		wantPage(t, f.all(chatOf(alice, bob)))
		f.append(direct(alice, carol, f.now-day, 1))
		wantPage(t, f.all(chatOf(alice, bob)))
	}},
	{"NewestFirstByID", func(t *testing.T, f *fixture) {
		// Ids have their own clock, so their order and that of the timestamps may differ.
		at := f.now - day
		older, newer := direct(alice, bob, at, 1), direct(bob, alice, at, 2)
		older.Timestamp, newer.Timestamp = at+5, at
		f.append(newer, older)
		wantPage(t, f.all(chatOf(alice, bob)), older, newer)
		wantPage(t, f.page(chatOf(alice, bob), 0, endless, 1), newer)
		wantPage(t, f.page(chatOf(alice, bob), at+1, endless, 1), older)
	}},
	{"BoundsAreInclusive", func(t *testing.T, f *fixture) {
		at := f.now - day
		m := series(at, 5)
		f.append(m...)
		chat := chatOf(alice, bob)
		wantPage(t, f.page(chat, at+1, at+3, 10), m[1:4]...)
		wantPage(t, f.page(chat, at+2, at+2, 10), m[2])
		wantPage(t, f.page(chat, at, at+4, 10), m...)
		wantPage(t, f.page(chat, at+5, endless, 10))
		wantPage(t, f.page(chat, 0, at-1, 10))
		wantPage(t, f.page(chat, at+3, at+1, 10))
	}},
	{"SameMillisecond", func(t *testing.T, f *fixture) {
		at := f.now - day
		m := []schemas.Message{direct(alice, bob, at, 1), direct(bob, alice, at, 2), direct(alice, bob, at, 3)}
		f.append(m...)
		wantPage(t, f.page(chatOf(alice, bob), at, at, 10), m...)
		wantPage(t, f.page(chatOf(alice, bob), at, at, 2), m[1:]...)
	}},
	{"Limit", func(t *testing.T, f *fixture) {
		m := series(f.now-day, 250)
		f.append(m...)
		chat := chatOf(alice, bob)
		for _, limit := range []int{1, schemas.HistoryPageSize, 101, 249, 250} {
			wantPage(t, f.page(chat, 0, endless, limit), m[250-limit:]...)
		}
		for _, limit := range []int{1 << 31, 1<<32 + 1, 1 << 40} { // more than 32 bits hold
			wantPage(t, f.page(chat, 0, endless, limit), m...)
		}
		// To some databases 0 or a negative number means no limit.
		wantPage(t, f.page(chat, 0, endless, 0))
		wantPage(t, f.page(chat, 0, endless, -1))
	}},
	{"PageByPage", func(t *testing.T, f *fixture) {
		m := series(f.now-day, 50)
		f.append(m...)
		upTo, end := endless, 50
		for end > 0 {
			got := f.page(chatOf(alice, bob), 0, upTo, schemas.HistoryPageSize)
			start := max(0, end-schemas.HistoryPageSize)
			wantPage(t, got, m[start:end]...)
			upTo, end = got[len(got)-1].Timestamp-1, start
		}
		wantPage(t, f.page(chatOf(alice, bob), 0, upTo, schemas.HistoryPageSize))
	}},
	{"BothUsersNameOneChat", func(t *testing.T, f *fixture) {
		question, answer := direct(alice, bob, f.now-day, 1), direct(bob, alice, f.now-day+second, 2)
		f.append(question, answer)
		wantPage(t, f.all(chatOf(alice, bob)), question, answer)
		wantPage(t, f.all(chatOf(bob, alice)), question, answer)
	}},
	{"ChatWithOneself", func(t *testing.T, f *fixture) {
		note := direct(alice, alice, f.now-day, 1)
		f.append(note, direct(alice, bob, f.now-day, 2))
		wantPage(t, f.all(chatOf(alice, alice)), note)
	}},
	{"Groups", func(t *testing.T, f *fixture) {
		const other = schemas.GroupID("g-01K5ZZZZZZZZZZZZZZZZZZZZZY")
		a, b := toGroup(alice, group, f.now-day, 1), toGroup(bob, group, f.now-day+1, 2)
		f.append(a, b, toGroup(alice, other, f.now-day, 3), direct(alice, bob, f.now-day, 4))
		wantPage(t, f.all(schemas.ChatID(group)), a, b)
	}},
	{"UserIDs", pageOfAnyUser},
	{"HidesExpired", func(t *testing.T, f *fixture) {
		oldest := f.now - retention
		expired, kept := direct(alice, bob, oldest-second, 1), direct(alice, bob, oldest+60*60*second, 2)
		f.append(expired, kept)
		chat := chatOf(alice, bob)
		wantPage(t, f.all(chat), kept)
		wantPage(t, f.page(chat, expired.Timestamp, expired.Timestamp, 10))
	}},
}

// pageOfAnyUser uses ids that a store may confuse with each other, or with syntax. Each user has
// a chat with itself, one with the next user of the list, and one with a common partner. No page
// may show a message of another chat.
func pageOfAnyUser(t *testing.T, f *fixture) {
	const partner = schemas.UserID("zoe")
	users := []schemas.UserID{
		"alice", "Alice", "ALICE", "alic", "alice2", "alice.bob", "bob",
		"é", "e\u0301", // they look the same, but are two users
		"ß", "ss", "ı", "i", "I", // equal in some collations
		"张伟", "🦉", "שלום", "a b", " a", "a", "a ",
		"'; --", `"`, `\`, "%", "_", "*", "$where", "a.b.c", "auth0|123", "user@example.org", "https://id.example/42",
		"0", "00", "null", "=2E",
	}
	neighbour := func(i int) schemas.UserID { return users[(i+len(users))%len(users)] }
	var batch []schemas.Message
	for i, u := range users {
		for _, to := range []schemas.UserID{u, neighbour(i + 1), partner} {
			m := direct(u, to, f.now-day, len(batch))
			m.Content = fmt.Sprintf("from %q to %q", u, to)
			batch = append(batch, m)
		}
	}
	f.append(batch...)
	for _, m := range batch {
		wantPage(t, f.all(chatOf(m.ReceiverID, m.SenderID)), m)
	}
	for i, u := range users {
		wantChats(t, f.chats(u), chatOf(u, u), chatOf(u, partner), chatOf(u, neighbour(i+1)), chatOf(u, neighbour(i-1)))
	}
}
