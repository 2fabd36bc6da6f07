package historytest

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"roost/schemas"
)

var appendTests = []test{
	{"Nothing", func(t *testing.T, f *fixture) {
		f.append()
		if err := f.Append(f.ctx, []schemas.Message{}); err != nil {
			t.Fatal(err)
		}
	}},
	{"SameBatchTwice", func(t *testing.T, f *fixture) {
		batch := series(f.now-day, 3)
		f.append(batch...)
		f.append(batch...)
		wantPage(t, f.all(chatOf(alice, bob)), batch...)
	}},
	{"PartlyStoredBatch", func(t *testing.T, f *fixture) {
		batch := series(f.now-day, 6)
		f.append(batch[1], batch[4])
		f.append(batch...)
		wantPage(t, f.all(chatOf(alice, bob)), batch...)
	}},
	{"StoredMessageDoesNotChange", func(t *testing.T, f *fixture) {
		first := direct(alice, bob, f.now-day, 1)
		other := first
		other.Content, other.Timestamp = "something else", first.Timestamp+1
		f.append(first)
		f.append(other)
		wantPage(t, f.all(chatOf(alice, bob)), first)
	}},
	{"DuplicatesInOneBatch", func(t *testing.T, f *fixture) {
		m := series(f.now-day, 3)
		f.append(m[0], m[1], m[0], m[0], m[2], m[2])
		wantPage(t, f.all(chatOf(alice, bob)), m...)
	}},
	{"AnyOrder", func(t *testing.T, f *fixture) {
		m := series(f.now-day, 4)
		f.append(m[2], m[0], m[3])
		f.append(m[1])
		wantPage(t, f.all(chatOf(alice, bob)), m...)
	}},
	{"ManyChatsInOneBatch", func(t *testing.T, f *fixture) {
		a, b := direct(alice, bob, f.now-day, 1), direct(carol, bob, f.now-day, 2)
		c := toGroup(carol, group, f.now-day, 3)
		f.append(a, b, c)
		wantPage(t, f.all(chatOf(alice, bob)), a)
		wantPage(t, f.all(chatOf(bob, carol)), b)
		wantPage(t, f.all(schemas.ChatID(group)), c)
	}},
	{"MoreThanAThousand", func(t *testing.T, f *fixture) {
		batch := series(f.now-day, 2_500)
		f.append(batch[:2_400]...)
		f.append(batch...) // 2,400 stored ones, then the new ones
		wantPage(t, f.all(chatOf(alice, bob)), batch...)
	}},
	{"AllFields", func(t *testing.T, f *fixture) {
		full := direct(alice, bob, f.now-day, 1)
		full.ReplyTo = idAt(f.now-2*day, 0)
		full.MessageIDByClient = 1<<62 + 1 // a float would lose digits
		bare := schemas.Message{MessageID: idAt(f.now-day, 2), SenderID: alice, ReceiverID: bob, Content: "x", Timestamp: f.now - day}
		inGroup := toGroup(bob, group, f.now-day, 3)
		f.append(full, bare, inGroup)
		wantPage(t, f.all(chatOf(alice, bob)), full, bare)
		wantPage(t, f.all(schemas.ChatID(group)), inGroup)
	}},
	{"AnyContent", appendAnyContent},
	{"ConcurrentOverlappingBatches", appendConcurrently},
}

func appendAnyContent(t *testing.T, f *fixture) {
	var batch []schemas.Message
	for i, content := range []string{
		`quotes " and ' and back\slashes \" \\ \u0000`,
		"'); DROP TABLE messages; --",
		`{"$gt": ""} $where $. %s %00 ?1 :name @name`,
		"emoji 🦉 family 👨‍👩‍👧 flag 🇮🇸",
		"שלום مرحبا 你好 e\u0301 é \u202e right to left",
		"line\nbreak\r\ttab and bell \a",
		"a\x00b\x00", // JSON can carry it, so a frame can
		" spaces at both ends ",
		" ", "0", "007", "null", "1e3", "2026-01-02",
		"\ufeffbyte order mark and \ufffd",
		strings.Repeat("🦉", schemas.MaxContentRunes),
	} {
		m := direct(alice, bob, f.now-day+schemas.Timestamp(i), i)
		m.Content = content
		batch = append(batch, m)
	}
	f.append(batch...)
	wantPage(t, f.all(chatOf(alice, bob)), batch...)
}

// appendConcurrently appends every message from several goroutines at once, each with its own
// size of batches.
func appendConcurrently(t *testing.T, f *fixture) {
	const goroutines, total = 6, 600
	batch := series(f.now-day, total)
	var appends errgroup.Group
	for g := range goroutines {
		appends.Go(func() error {
			mine := slices.Clone(batch)
			if g%2 == 1 {
				slices.Reverse(mine)
			}
			for part := range slices.Chunk(mine, 60+10*g) {
				if err := f.Append(f.ctx, part); err != nil {
					return err
				}
			}
			_, err := f.Page(f.ctx, chatOf(alice, bob), 0, endless, 20)
			return err
		})
	}
	if err := appends.Wait(); err != nil {
		t.Fatal(err)
	}
	wantPage(t, f.all(chatOf(alice, bob)), batch...)
}
