package historytest

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"

	"roost/schemas"
)

const (
	edit     = schemas.ChangeEdit
	remove   = schemas.ChangeDelete
	reaction = schemas.ChangeReaction
)

var updateTests = []test{
	{"Empty", func(t *testing.T, f *fixture) {
		m := direct(alice, bob, f.now-day, 1)
		f.append(m)
		wantUpdates(t, f.updates(m))
		if got, err := f.Store.Updates(f.ctx, m.Chat(), nil); err != nil || len(got) != 0 {
			t.Fatalf("of no messages: %v, %v", got, err)
		}
	}},
	{"AllFields", func(t *testing.T, f *fixture) {
		m, inGroup := direct(alice, bob, f.now-day, 1), toGroup(alice, group, f.now-day, 2)
		changed, liked := update(m, alice, edit, "it's \x00 \"new\"", 3), update(m, bob, reaction, "👍🏽", 4)
		liked.MessageIDByClient = 1<<62 + 1
		there := update(inGroup, bob, reaction, "👍", 5)
		f.append(m, changed, inGroup, liked, there)
		wantUpdates(t, f.updates(m), changed, liked)
		wantUpdates(t, f.updates(inGroup), there)
		wantPage(t, f.all(m.Chat()), m) // updates are no messages
		wantPage(t, f.all(inGroup.Chat()), inGroup)
		wantPage(t, f.page(m.Chat(), 0, endless, 1), m)
	}},
	{"OnlyOfRequestedTargets", func(t *testing.T, f *fixture) {
		m := series(f.now-day, 3)
		var all []schemas.Message
		for i := range m {
			all = append(all, update(m[i], bob, reaction, "👍", 10+i))
		}
		f.append(slices.Concat(m, all)...)
		wantUpdates(t, f.updates(m[0], m[2]), all[0], all[2])
	}},
	{"NewestOfEach", func(t *testing.T, f *fixture) {
		m := direct(alice, bob, f.now-day, 1)
		older, newer := update(m, alice, edit, "older", 2), update(m, alice, edit, "newer", 3)
		mine, gone := update(m, alice, reaction, "👍", 4), update(m, bob, reaction, "", 6)
		f.append(m, gone, newer, update(m, bob, reaction, "👍", 5), mine)
		f.append(older)
		f.append(older, newer)
		wantUpdates(t, f.updates(m), newer, mine, gone)
	}},
	{"DeletionRemovesContent", func(t *testing.T, f *fixture) {
		m, other := direct(alice, bob, f.now-day, 1), direct(alice, bob, f.now-day, 2)
		kept := update(other, bob, reaction, "👍", 9)
		f.append(m, other, update(m, alice, edit, "changed", 3), update(m, bob, reaction, "👍", 4), kept)
		gone := update(m, alice, remove, "", 5)
		f.append(gone)
		empty := m
		empty.Content = ""
		wantPage(t, f.all(m.Chat()), empty, other)
		wantUpdates(t, f.updates(m, other), gone, kept)
		// Repeated and late updates, and the message itself, after the deletion.
		f.append(m, update(m, alice, edit, "changed", 3), update(m, bob, reaction, "👎", 6), gone)
		wantPage(t, f.all(m.Chat()), empty, other)
		wantUpdates(t, f.updates(m, other), gone, kept)
	}},
	{"DeletionBeforeTheMessage", func(t *testing.T, f *fixture) {
		for i, m := range []schemas.Message{direct(alice, bob, f.now-day, 1), toGroup(alice, group, f.now-day, 2)} {
			gone := update(m, alice, remove, "", 10+i)
			f.append(update(m, bob, reaction, "👍", 20+i), gone, update(m, alice, edit, "changed", 30+i))
			f.append(m)
			empty := m
			empty.Content = ""
			wantPage(t, f.all(m.Chat()), empty)
			wantUpdates(t, f.updates(m), gone)
		}
	}},
	{"OfAnotherSender", func(t *testing.T, f *fixture) {
		for i, m := range []schemas.Message{direct(alice, bob, f.now-day, 1), toGroup(alice, group, f.now-day, 2)} {
			changed, liked := update(m, alice, edit, "changed", 10+i), update(m, bob, reaction, "👍", 20+i)
			foreign := []schemas.Message{update(m, bob, edit, "not mine", 30+i), update(m, bob, remove, "", 40+i)}
			f.append(foreign...)
			f.append(changed, liked)
			f.append(m)
			wantPage(t, f.all(m.Chat()), m)
			wantUpdates(t, f.updates(m), changed, liked)
			f.append(foreign...)
			wantPage(t, f.all(m.Chat()), m)
			wantUpdates(t, f.updates(m), changed, liked)
		}
	}},
	{"FromAnotherChat", func(t *testing.T, f *fixture) {
		m := direct(alice, bob, f.now-day, 1)
		elsewhere := m
		elsewhere.ReceiverID = carol
		// The sender names her message in another chat.
		foreign := []schemas.Message{update(elsewhere, alice, remove, "", 5), update(elsewhere, alice, edit, "no", 6), update(elsewhere, alice, reaction, "👎", 7)}
		changed, liked := update(m, alice, edit, "changed", 2), update(m, alice, reaction, "👍", 3)
		f.append(foreign...)
		f.append(changed, liked, m)
		f.append(foreign...)
		wantPage(t, f.all(m.Chat()), m)
		wantUpdates(t, f.updates(m), changed, liked)
		wantUpdates(t, f.updates(elsewhere))
		wantChats(t, f.chats(carol))
	}},
	{"MoreThanAThousand", func(t *testing.T, f *fixture) {
		m := series(f.now-day, 1_100)
		var liked []schemas.Message
		for i := range m {
			liked = append(liked, update(m[i], bob, reaction, "👍", 10_000+i))
		}
		f.append(slices.Concat(liked[:600], m, liked)...)
		wantUpdates(t, f.updates(m...), liked...)
		wantCount(t, "deleted", f.deleteBefore(m[0].Chat(), endless), len(m))
		wantUpdates(t, f.updates(m...))
	}},
	{"DeleteBetweenSelectsByTarget", func(t *testing.T, f *fixture) {
		m := []schemas.Message{direct(alice, bob, f.now-day, 1), direct(alice, bob, f.now-day+1, 2)}
		a, b := update(m[0], bob, reaction, "👍", 3), update(m[1], bob, reaction, "👍", 4) // both are later than both messages
		f.append(m[0], m[1], a, b)
		wantCount(t, "messages deleted from that time", f.deleteBetween(m[0].Chat(), m[1].Timestamp+1, endless), 0)
		wantUpdates(t, f.updates(m...), a, b)
		wantCount(t, "messages deleted", f.deleteBefore(m[0].Chat(), m[1].Timestamp), 1)
		wantUpdates(t, f.updates(m...), b)
		wantCount(t, "messages deleted", f.deleteBefore(m[0].Chat(), endless), 1)
		wantUpdates(t, f.updates(m...))
		wantChats(t, f.chats(bob))
	}},
	{"WithoutTheirMessage", func(t *testing.T, f *fixture) {
		lost, other := direct(alice, bob, f.now-day, 1), direct(alice, carol, f.now-day, 2)
		liked, kept := update(lost, bob, reaction, "👍", 3), update(other, carol, reaction, "👍", 4)
		f.append(liked, kept)
		wantUpdates(t, f.updates(lost), liked)
		wantPage(t, f.all(lost.Chat()))
		wantChats(t, f.chats(bob), lost.Chat())
		wantChats(t, f.chats(alice), lost.Chat(), other.Chat())
		f.append(direct(alice, bob, f.now-2*day, 5))
		wantCount(t, "older messages deleted", f.deleteBefore(lost.Chat(), lost.Timestamp), 1)
		wantUpdates(t, f.updates(lost), liked)
		wantChats(t, f.chats(bob), lost.Chat())
		wantCount(t, "messages deleted", f.deleteBefore(lost.Chat(), endless), 0)
		wantUpdates(t, f.updates(lost))
		wantUpdates(t, f.updates(other), kept)
		wantChats(t, f.chats(alice), other.Chat())
	}},
	{"ExpireWithTarget", func(t *testing.T, f *fixture) {
		m := []schemas.Message{direct(alice, bob, f.now-day, 1), direct(alice, bob, f.now-day+1, 2)}
		lost := []schemas.Message{direct(alice, carol, f.now-day, 3), direct(alice, carol, f.now-day+1, 4)}
		f.append(m...)
		var all []schemas.Message
		for i, of := range slices.Concat(m, lost) {
			all = append(all, update(of, alice, reaction, "👍", 10+i))
		}
		f.append(all...)
		wantCount(t, "messages deleted", f.deleteExpired(m[1].Timestamp+retention), 1)
		wantUpdates(t, f.updates(m...), all[1])
		wantUpdates(t, f.updates(lost...), all[3])
	}},
	{"AnyOrderAnyRepetition", anyOrder},
	{"ConcurrentOverlappingBatches", updateConcurrently},
}

var disappearingTests = []test{
	{"AllFields", func(t *testing.T, f *fixture) {
		m, last := direct(alice, bob, f.now-day, 1), direct(alice, bob, f.now-day, 2)
		m.ExpiresAt, last.ExpiresAt = m.Timestamp+7*day, last.Timestamp+retention
		f.append(m, last)
		wantPage(t, f.all(m.Chat()), m, last)
	}},
	{"HidesExpired", func(t *testing.T, f *fixture) {
		past, soon, never := direct(alice, bob, f.now-day, 1), direct(alice, bob, f.now-day, 2), direct(alice, bob, f.now-day, 3)
		past.ExpiresAt, soon.ExpiresAt = f.now-1, f.now+60*60*second
		f.append(past, soon, never)
		wantPage(t, f.all(past.Chat()), soon, never)
		wantPage(t, f.page(past.Chat(), 0, past.ExpiresAt-1, 1), never) // it has expired, whatever range is requested
		wantPage(t, f.page(past.Chat(), 0, endless, 3), soon, never)
	}},
	{"DeletedToTheMillisecond", func(t *testing.T, f *fixture) {
		soon, later, never := direct(alice, bob, f.now, 1), toGroup(alice, group, f.now, 2), direct(alice, bob, f.now, 3)
		soon.ExpiresAt, later.ExpiresAt = f.now+day, f.now+7*day
		f.append(soon, later, never)
		wantCount(t, "deleted before", f.deleteExpired(soon.ExpiresAt-1), 0)
		wantCount(t, "deleted", f.deleteExpired(soon.ExpiresAt), 1)
		wantPage(t, f.all(soon.Chat()), never)
		wantPage(t, f.all(later.Chat()), later)
		wantCount(t, "deleted later", f.deleteExpired(later.ExpiresAt), 1)
		wantChats(t, f.chats(alice), never.Chat())
	}},
	{"MoreThanAThousand", func(t *testing.T, f *fixture) {
		m := series(f.now, 1_203)
		for i := range m {
			m[i].ExpiresAt = m[i].Timestamp + day
		}
		f.append(m...)
		wantCount(t, "deleted", f.deleteExpired(m[1_199].ExpiresAt), 1_200)
		wantPage(t, f.all(m[0].Chat()), m[1_200:]...)
	}},
	{"WithUpdates", disappearWithUpdates},
	{"WithoutTheirMessage", func(t *testing.T, f *fixture) {
		lost := direct(alice, bob, f.now, 1)
		changed, gone := update(lost, alice, edit, "changed", 2), update(lost, alice, remove, "", 3)
		changed.ExpiresAt, gone.ExpiresAt = f.now+day, f.now+day
		f.append(changed, gone)
		wantCount(t, "messages deleted", f.deleteExpired(f.now+day-1), 0)
		wantUpdates(t, f.updates(lost), changed, gone)
		// The message may expire later, and may still come: the store keeps the deletion.
		wantCount(t, "messages deleted", f.deleteExpired(f.now+day), 0)
		wantUpdates(t, f.updates(lost), gone)
		wantCount(t, "messages deleted", f.deleteExpired(f.now+retention+1), 0)
		wantUpdates(t, f.updates(lost))
	}},
}

// disappearWithUpdates: an update expires with its message, whatever its own ExpiresAt is, and
// whichever of the two comes first.
func disappearWithUpdates(t *testing.T, f *fixture) {
	for i, own := range []schemas.Timestamp{0, f.now + day, f.now + 30*day} {
		for k, first := range []string{"message", "update", "one batch"} {
			n := 100*i + 10*k
			m := direct(alice, schemas.UserID("to "+idAt(0, n)), f.now, n)
			m.ExpiresAt = f.now + 7*day
			liked := update(m, alice, reaction, "👍", n+1)
			liked.ExpiresAt = own
			gone := update(m, alice, remove, "", n+2)
			gone.ExpiresAt = own
			all := []schemas.Message{liked, m}
			switch first {
			case "message":
				f.append(m)
				f.append(liked)
			case "update":
				f.append(liked)
				f.append(m)
			default:
				f.append(all...)
			}
			wantCount(t, "messages deleted, "+first+" first", f.deleteExpired(m.ExpiresAt-1), 0)
			wantUpdates(t, f.updates(m), liked)
			f.append(gone)
			wantCount(t, "messages deleted", f.deleteExpired(m.ExpiresAt-1), 0)
			wantUpdates(t, f.updates(m), gone)
			wantCount(t, "messages deleted", f.deleteExpired(m.ExpiresAt), 1)
			wantUpdates(t, f.updates(m))
			wantChats(t, f.chats(m.ReceiverID))
		}
	}
}

// randomMessages returns messages of a few chats and updates of them. Some updates are forbidden,
// some are in another chat, and some have a target that never comes.
func randomMessages(r *rand.Rand, at schemas.Timestamp, run int) (messages, updates []schemas.Message) {
	n := run * 1_000
	next := func() int { n++; return n }
	users := []schemas.UserID{alice, schemas.UserID("b " + idAt(0, run)), schemas.UserID("c " + idAt(0, run))}
	for range 6 {
		m := direct(users[r.IntN(2)], "", at, next())
		if m.ReceiverID = users[1]; m.SenderID == users[1] {
			m.ReceiverID = alice
		}
		if r.IntN(3) == 0 {
			m.ExpiresAt = at + 30*day
		}
		messages = append(messages, m)
	}
	lost := direct(alice, users[1], at, next())
	for range 30 {
		of := messages[r.IntN(len(messages))]
		if r.IntN(10) == 0 {
			of = lost
		}
		by, change, content := users[r.IntN(2)], []schemas.MessageChange{edit, edit, reaction, reaction, remove}[r.IntN(5)], "content of an update"
		if change == remove {
			content = ""
		}
		u := update(of, by, change, content, next())
		u.Content += map[bool]string{true: string(u.MessageID), false: ""}[content != ""]
		if r.IntN(8) == 0 {
			u.ReceiverID = users[2]
		}
		updates = append(updates, u)
	}
	return messages, updates
}

// wantFolded compares the store with the fold of everything that was appended.
func wantFolded(t *testing.T, f *fixture, messages, updates []schemas.Message) {
	t.Helper()
	page := f.all(messages[0].Chat())
	slices.Reverse(page)
	stored := f.updates(messages...)
	ofChat := slices.DeleteFunc(slices.Clone(updates), func(u schemas.Message) bool { return u.Chat() != messages[0].Chat() })
	got, want := schemas.Fold(page, stored), schemas.Fold(messages, ofChat)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("messages:\n got  %+v\n want %+v", got, want)
	}
	deleted := make(map[schemas.MessageID]bool)
	for i := range want {
		deleted[want[i].MessageID] = want[i].Deleted
		if want[i].Deleted != (page[i].Content == "") {
			t.Fatalf("message %d (deleted: %v) has the content %q", i, want[i].Deleted, page[i].Content)
		}
	}
	seen := make(map[[3]string]bool)
	for _, u := range stored {
		if deleted[u.TargetMessageID] && u.Change != remove {
			t.Fatalf("a deleted message has the update %+v", u)
		}
		of := [3]string{string(u.TargetMessageID), string(u.SenderID), string(u.Change)}
		if seen[of] {
			t.Fatalf("more than one update of %v", of)
		}
		seen[of] = true
	}
}

// anyOrder appends the same messages and updates in random order, some repeatedly. The result is
// always the same.
func anyOrder(t *testing.T, f *fixture) {
	for run := range 12 {
		r := rand.New(rand.NewPCG(uint64(run), 1))
		messages, updates := randomMessages(r, f.now-second, run)
		var all []schemas.Message
		for _, m := range slices.Concat(messages, updates) {
			for range 1 + r.IntN(3) {
				all = append(all, m)
			}
		}
		r.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		for len(all) > 0 {
			n := min(1+r.IntN(12), len(all))
			f.append(all[:n]...)
			all = all[n:]
		}
		wantFolded(t, f, messages, updates)
	}
}

// updateConcurrently appends everything from several goroutines at once, each in its own order.
func updateConcurrently(t *testing.T, f *fixture) {
	for run := range 4 {
		messages, updates := randomMessages(rand.New(rand.NewPCG(uint64(run), 2)), f.now-second, run)
		var appends errgroup.Group
		for g := range 4 {
			appends.Go(func() error {
				r := rand.New(rand.NewPCG(uint64(run), uint64(g)))
				mine := slices.Concat(messages, updates)
				r.Shuffle(len(mine), func(i, k int) { mine[i], mine[k] = mine[k], mine[i] })
				for part := range slices.Chunk(mine, 3+g) {
					if err := f.Append(f.ctx, part); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := appends.Wait(); err != nil {
			t.Fatal(err)
		}
		wantFolded(t, f, messages, updates)
	}
}
