package workers

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/schemas"
	"roost/streams/streamstest"
)

// stored is what the store has of a chat, newest first, whoever may see it.
func (b *bench) stored(of, with schemas.UserID) string {
	b.t.Helper()
	return b.storedOf(schemas.ChatWith(of, schemas.Participant{User: with}))
}

func (b *bench) storedOf(chat schemas.ChatID) string {
	b.t.Helper()
	page, err := b.store.Page(b.ctx(), chat, 1, schemas.Now(), 100)
	if err != nil {
		b.t.Fatal(err)
	}
	var contents []string
	for _, m := range page {
		contents = append(contents, m.Content)
	}
	return fmt.Sprint(contents)
}

func (b *bench) wantStored(of, with schemas.UserID, want string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("of %s and %s the store has %s", of, with, want), func() bool { return b.stored(of, with) == want })
}

// TestSwitchedOffLeavesTheOthers: what the other one keeps stays, and no more.
func TestSwitchedOffLeavesTheOthers(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	b.keep("alice", 90)
	b.post("alice", "bob", "before bob kept any")
	b.wantStored("alice", "bob", "[before bob kept any]")
	for since := b.keep("bob", 90).HistorySince; schemas.Now() <= since; {
		runtime.Gosched() // the next message is of a later one
	}
	b.post("alice", "bob", "both keep it")
	b.post("alice", "alice", "a note")
	b.wantStored("alice", "bob", "[both keep it before bob kept any]")
	b.wantStored("alice", "alice", "[a note]")
	b.keep("alice", 0)
	b.wantStored("alice", "alice", "[]")
	b.wantStored("alice", "bob", "[both keep it]")
	b.wantHistory("bob", "alice", "both keep it")
	b.keep("bob", 0)
	b.wantStored("alice", "bob", "[]")
}

// TestSwitchedOffAndOnAgain: the choice in between counts, though no worker saw it.
func TestSwitchedOffAndOnAgain(t *testing.T) {
	b := newBench(t)
	b.keep("alice", 90)
	m := b.post("alice", "bob", "of before")
	if err := b.store.Append(b.ctx(), []schemas.Message{m}); err != nil {
		t.Fatal(err)
	}
	b.keep("alice", 0)
	for schemas.Now() <= m.Timestamp {
		runtime.Gosched()
	}
	b.keep("alice", 90)
	b.run(b.store)
	b.wantStored("alice", "bob", "[]")
	b.post("alice", "bob", "of now")
	b.wantHistory("alice", "bob", "of now")
}

// TestGroupHistoryIsDeleted: of a group nobody keeps what was sent while neither it kept
// history, nor anybody who was a member then.
func TestGroupHistoryIsDeleted(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	id := b.group("alice", "bob", "carol")
	b.keepGroup(id, schemas.HistoryDays)
	post := func(content string) {
		t.Helper()
		b.nextMillisecond()
		b.postGroup(id, content)
		b.nextMillisecond()
	}
	want := func(messages string) {
		t.Helper()
		b.eventually("the store has "+messages, func() bool { return b.storedOf(schemas.ChatID(id)) == messages })
	}
	post("1, the group")
	b.keep("bob", 90)
	post("2, bob")
	b.remove(id, "bob")
	post("3, the group")
	b.keep("carol", 90)
	post("4, carol")
	want("[4, carol 3, the group 2, bob 1, the group]")
	b.keepGroup(id, 0)
	want("[4, carol 2, bob]")
	b.wantGroup("bob", id, false, "2, bob")
	b.wantGroup("carol", id, false, "4, carol")
	b.keepGroup(id, schemas.HistoryDays)
	post("5, the group")
	b.keep("carol", 0)
	want("[5, the group 2, bob]")
	b.add(id, "bob")
	post("6, both")
	b.keepGroup(id, 0)
	want("[6, both 2, bob]")
	b.remove(id, "bob")
	b.remove(id, "carol")
	b.remove(id, "alice") // and with her the group
	b.keep("bob", 0)
	want("[]")
}

// TestGroupHistoryOfBefore: what a group stopped keeping, or a deleted group had, while
// no worker ran.
func TestGroupHistoryOfBefore(t *testing.T) {
	b := newBench(t)
	off, gone, on := b.group("alice", "bob"), b.group("alice"), b.group("alice")
	for _, id := range []schemas.GroupID{off, gone, on} {
		b.keepGroup(id, schemas.HistoryDays)
		b.nextMillisecond()
		at := b.conn.Clock().Next()
		m := schemas.Message{MessageID: at, SenderID: "alice", GroupID: id, Content: "hello", Timestamp: at.Time()}
		if err := b.store.Append(b.ctx(), []schemas.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
	b.nextMillisecond()
	b.keepGroup(off, 0)
	b.keepGroup(off, schemas.HistoryDays) // from now on
	b.remove(gone, "alice")
	b.run(b.store)
	for id, want := range map[schemas.GroupID]string{off: "[]", gone: "[]", on: "[hello]"} {
		b.eventually(fmt.Sprintf("the store has %s", want), func() bool { return b.storedOf(schemas.ChatID(id)) == want })
	}
}

// choosing is a store in which somebody chooses while their history is swept.
type choosing struct {
	Store
	choose func()
}

func (s *choosing) Chats(ctx context.Context, u schemas.UserID) ([]schemas.ChatID, error) {
	s.choose()
	return s.Store.Chats(ctx, u)
}

// TestChoiceDuringASweep: it is carried out at once, and not when the sweep that did not
// see it would have come again.
func TestChoiceDuringASweep(t *testing.T) {
	b := newBench(t)
	store := &choosing{Store: b.store}
	r := newRetention(Options{Streams: b.conn, Store: store, Log: streamstest.Log(t)}, newMetrics(prometheus.NewRegistry()))
	alice, now := schemas.Participant{User: "alice"}, time.Now()
	planned := visit{at: now.Add(time.Millisecond), again: true}
	store.choose = func() { r.plan(alice, planned) }
	r.plan(alice, visit{at: now, again: true})
	r.sweepDue(b.ctx(), now)
	if r.due[alice] != planned {
		t.Errorf("the next visit is %+v, not %+v", r.due[alice], planned)
	}
	store.choose = func() {}
	r.sweepDue(b.ctx(), planned.at)
	if want := (visit{at: planned.at.Add(sweepAgain)}); r.due[alice] != want {
		t.Errorf("the visit behind it is %+v, not %+v", r.due[alice], want)
	}
}

// TestLateMessageIsSweptAsWell: one that was on its way into the store when its
// owner switched history off.
func TestLateMessageIsSweptAsWell(t *testing.T) {
	if sweepAgain <= storeTimeout || sweepAgain+2*sweepTick > time.Minute {
		t.Errorf("the second sweep, after %s, is too early or too late", sweepAgain)
	}
	b := newBench(t)
	b.keep("alice", 0)
	r := newRetention(Options{Streams: b.conn, Store: b.store, Log: streamstest.Log(t)}, newMetrics(prometheus.NewRegistry()))
	now := time.Now()
	r.plan(schemas.Participant{User: "alice"}, visit{at: now, again: true})
	r.sweepDue(b.ctx(), now)
	m := b.post("alice", "bob", "late")
	if err := b.store.Append(b.ctx(), []schemas.Message{m}); err != nil {
		t.Fatal(err)
	}
	r.sweepDue(b.ctx(), now.Add(sweepAgain-time.Millisecond))
	if got := b.stored("alice", "bob"); got != "[late]" {
		t.Errorf("before its time the store has %s", got)
	}
	r.sweepDue(b.ctx(), now.Add(sweepAgain))
	if got := b.stored("alice", "bob"); got != "[]" {
		t.Errorf("after it the store has %s", got)
	}
	if len(r.due) != 0 {
		t.Errorf("a third sweep is due: %v", r.due)
	}
}
