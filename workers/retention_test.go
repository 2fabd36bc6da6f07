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

// stored returns the messages of a 1:1 chat in the store, newest first.
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
	b.eventually(fmt.Sprintf("the store has %s of %s and %s", want, of, with), func() bool { return b.stored(of, with) == want })
}

// TestHistoryOffKeepsWhatThePeerKeeps: after a user switches history off, the store has exactly
// the messages that the other user of the chat keeps.
func TestHistoryOffKeepsWhatThePeerKeeps(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	b.keep("alice", 90)
	b.post("alice", "bob", "before bob kept any")
	b.wantStored("alice", "bob", "[before bob kept any]")
	for since := b.keep("bob", 90).HistorySince; schemas.Now() <= since; {
		runtime.Gosched() // until the next message has a later timestamp
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

// TestHistoryOffAndOnAgain: the worker deletes history from before it was switched off, even if
// it is on again before the worker runs.
func TestHistoryOffAndOnAgain(t *testing.T) {
	b := newBench(t)
	b.keep("alice", 90)
	m := b.post("alice", "bob", "before")
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
	b.post("alice", "bob", "after")
	b.wantHistory("alice", "bob", "after")
}

// TestGroupHistoryIsDeleted: the worker deletes the messages of a group that were sent while
// neither the group nor any member of that time kept history.
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
	b.remove(id, "alice") // the last member: the group is deleted
	b.keep("bob", 0)
	want("[]")
}

// TestGroupHistoryOffWithoutWorker: a worker deletes the history of groups that were deleted, or
// switched it off, before the worker started.
func TestGroupHistoryOffWithoutWorker(t *testing.T) {
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
	b.keepGroup(off, schemas.HistoryDays) // on again, for later messages
	b.remove(gone, "alice")
	b.run(b.store)
	for id, want := range map[schemas.GroupID]string{off: "[]", gone: "[]", on: "[hello]"} {
		b.eventually(fmt.Sprintf("the store has %s", want), func() bool { return b.storedOf(schemas.ChatID(id)) == want })
	}
}

// hookedStore calls duringSweep during each sweep.
type hookedStore struct {
	Store
	duringSweep func()
}

func (s *hookedStore) Chats(ctx context.Context, u schemas.UserID) ([]schemas.ChatID, error) {
	s.duringSweep()
	return s.Store.Chats(ctx, u)
}

// TestChangeDuringSweep: a sweep that is planned during another one runs at its own time, and
// not at the second run of the other one.
func TestChangeDuringSweep(t *testing.T) {
	b := newBench(t)
	store := &hookedStore{Store: b.store}
	r := newRetention(Options{Streams: b.conn, Store: store, Log: streamstest.Log(t)}, newMetrics(prometheus.NewRegistry()))
	alice, now := schemas.Participant{User: "alice"}, time.Now()
	planned := plannedSweep{at: now.Add(time.Millisecond), repeat: true}
	store.duringSweep = func() { r.plan(alice, planned) }
	r.plan(alice, plannedSweep{at: now, repeat: true})
	r.sweepDue(b.ctx(), now)
	if r.due[alice] != planned {
		t.Errorf("the next sweep is %+v, not %+v", r.due[alice], planned)
	}
	store.duringSweep = func() {}
	r.sweepDue(b.ctx(), planned.at)
	if want := (plannedSweep{at: planned.at.Add(sweepRepeat)}); r.due[alice] != want {
		t.Errorf("the sweep after it is %+v, not %+v", r.due[alice], want)
	}
}

// TestSecondSweepDeletesLateMessage: the mirror may store a message after the first sweep. The
// second sweep deletes it.
func TestSecondSweepDeletesLateMessage(t *testing.T) {
	if sweepRepeat <= storeTimeout || sweepRepeat+2*sweepTick > time.Minute {
		t.Errorf("the second sweep, after %s, is too early or too late", sweepRepeat)
	}
	b := newBench(t)
	b.keep("alice", 0)
	r := newRetention(Options{Streams: b.conn, Store: b.store, Log: streamstest.Log(t)}, newMetrics(prometheus.NewRegistry()))
	now := time.Now()
	r.plan(schemas.Participant{User: "alice"}, plannedSweep{at: now, repeat: true})
	r.sweepDue(b.ctx(), now)
	m := b.post("alice", "bob", "late")
	if err := b.store.Append(b.ctx(), []schemas.Message{m}); err != nil {
		t.Fatal(err)
	}
	r.sweepDue(b.ctx(), now.Add(sweepRepeat-time.Millisecond))
	if got := b.stored("alice", "bob"); got != "[late]" {
		t.Errorf("before the second sweep the store has %s", got)
	}
	r.sweepDue(b.ctx(), now.Add(sweepRepeat))
	if got := b.stored("alice", "bob"); got != "[]" {
		t.Errorf("after the second sweep the store has %s", got)
	}
	if len(r.due) != 0 {
		t.Errorf("a third sweep is due: %v", r.due)
	}
}

func TestSwitchingHistoryOffDeletes(t *testing.T) {
	b := newBench(t)
	registry := b.run(b.store)
	b.keep("alice", 90)
	b.keep("bob", 90)
	b.post("alice", "bob", "both keep it")
	b.post("alice", "carol", "only alice keeps it")
	b.wantHistory("alice", "bob", "both keep it")
	b.wantHistory("alice", "carol", "only alice keeps it")
	b.keep("alice", 0)
	b.eventually("her chat with carol is deleted", func() bool {
		page, err := b.store.Page(b.ctx(), schemas.ChatWith("alice", schemas.Participant{User: "carol"}), 1, schemas.Now(), 10)
		return err == nil && len(page) == 0
	})
	b.wantHistory("bob", "alice", "both keep it")
	b.eventually("the message is counted", func() bool { return counter(t, registry, "messages_deleted_total") == 1 })
	if got := b.history("alice", "bob"); len(got) != 0 {
		t.Errorf("alice still sees %v", got)
	}
}

// TestHistoryOffWithoutWorker: a worker deletes the history of a user who switched it off before
// the worker started.
func TestHistoryOffWithoutWorker(t *testing.T) {
	b := newBench(t)
	b.keep("alice", 0)
	id := schemas.MessageID(b.conn.Clock().Next())
	m := schemas.Message{MessageID: id, SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: id.Time()}
	if err := b.store.Append(b.ctx(), []schemas.Message{m}); err != nil {
		t.Fatal(err)
	}
	b.run(b.store)
	b.eventually("the message is deleted", func() bool {
		chats, err := b.store.Chats(b.ctx(), "alice")
		return err == nil && len(chats) == 0
	})
}

func TestExpiredIsDeleted(t *testing.T) {
	b := newBench(t)
	old := schemas.TimestampOf(time.Now().AddDate(0, 0, -schemas.HistoryDays-1))
	m := schemas.Message{MessageID: schemas.MessageIDAt(old), SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: old}
	if err := b.store.Append(b.ctx(), []schemas.Message{m}); err != nil {
		t.Fatal(err)
	}
	registry := b.run(b.store)
	b.eventually("the message is deleted", func() bool { return counter(t, registry, "messages_deleted_total") == 1 })
}

// TestGroupSweepIsPlannedOnce: a group record may change many times after its history was switched
// off. Only another switch-off plans another sweep.
func TestGroupSweepIsPlannedOnce(t *testing.T) {
	r := newRetention(Options{Log: streamstest.Log(t)}, newMetrics(prometheus.NewRegistry()))
	const id = schemas.GroupID("g-01K73S8AC0GR0VPGR0VPGR0VPG")
	group, off := schemas.Participant{Group: id}, schemas.Now()
	for _, c := range []struct {
		until schemas.Timestamp
		plans bool
	}{{0, false}, {off, true}, {off, false}, {off + 1, true}, {1, false}} {
		clear(r.due)
		r.groupChanged(id, &schemas.Group{GroupID: id, HistoryUntil: c.until}, time.Now())
		if _, planned := r.due[group]; planned != c.plans {
			t.Errorf("history_until %d plans a sweep: %t", c.until, planned)
		}
	}
}
