package workers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/streamstest"
)

// user reads the current record of a user.
func (b *bench) user(u schemas.UserID) *directory.User {
	b.t.Helper()
	p, err := b.conn.Directory().Fresh(b.ctx(), u)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// newErasure returns an erasure without a worker, so the test sets the time.
func (b *bench) newErasure(store Store) (*erasure, *prometheus.Registry) {
	registry := prometheus.NewRegistry()
	o, m := Options{Streams: b.conn, Store: store, Log: streamstest.Log(b.t)}, newMetrics(registry)
	return newErasure(o, m, newRetention(o, m)), registry
}

// TestHistoryOfDeletedAccount: the worker deletes the history of a deleted account, but for
// the messages that another user keeps.
func TestHistoryOfDeletedAccount(t *testing.T) {
	for name, remove := range map[string]func(*bench){
		"deleted": func(b *bench) {
			if _, err := b.conn.DeleteAccount(b.ctx(), "alice", 0); err != nil {
				b.t.Fatal(err)
			}
		},
		"interrupted": func(b *bench) { streamstest.Tombstone(b.t, b.server, "alice") }, // her settings still switch history on
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.run(b.store)
			b.keep("alice", 90)
			b.keep("carol", 90)
			b.post("alice", "bob", "she alone keeps it")
			b.post("alice", "carol", "both keep it")
			b.wantStored("alice", "bob", "[she alone keeps it]")
			b.wantStored("alice", "carol", "[both keep it]")
			remove(b)
			b.wantStored("alice", "bob", "[]")
			b.wantHistory("carol", "alice", "both keep it")
			b.post("alice", "bob", "was in flight")
			b.post("carol", "alice", "carol keeps it")
			b.wantHistory("carol", "alice", "carol keeps it", "both keep it")
			if got := b.stored("alice", "bob"); got != "[]" {
				t.Errorf("the mirror stored %s for her", got)
			}
		})
	}
}

// TestErasureCompletesDeletion: the worker completes an interrupted deletion, not before
// streams.EraseSettle has passed and history is deleted.
func TestErasureCompletesDeletion(t *testing.T) {
	b := newBench(t)
	b.keep("alice", 90)
	b.device("alice", 0)
	m := b.post("alice", "bob", "kept")
	if err := b.store.Append(b.ctx(), []schemas.Message{m}); err != nil {
		t.Fatal(err)
	}
	streamstest.Tombstone(t, b.server, "alice")
	broken := &noChats{Store: b.store}
	e, registry := b.newErasure(broken)
	k := &upkeep{streams: b.conn, erasure: e, log: streamstest.Log(t)}
	if err := k.round(b.ctx(), time.Now()); err != nil { // as after a start of the worker
		t.Fatal(err)
	}
	for u, record := range map[schemas.UserID]schemas.Devices{"bob": {}, "carol": {DeletedAt: 1, Erased: true}} {
		if e.devicesChanged(u, record); len(e.due) != 1 {
			t.Errorf("after the record of %s, %v are due, want one user", u, e.due)
		}
	}
	deleted := time.Now()
	e.eraseDue(b.ctx(), deleted)
	if !b.user("alice").Deleted {
		t.Fatal("the name is free before all processes know of the deletion")
	}
	if s, err := b.conn.Directory().Settings(b.ctx(), "alice"); err != nil || !s.KeepsHistory() {
		t.Errorf("erased before all processes know of the deletion: %+v, %v", s, err)
	}
	later := deleted.Add(streams.EraseSettle)
	e.eraseDue(b.ctx(), later)
	if !b.user("alice").Deleted {
		t.Fatal("the name is free although history is not deleted")
	}
	if s, err := b.conn.Directory().Settings(b.ctx(), "alice"); err != nil || s.KeepsHistory() {
		t.Errorf("the settings are not deleted: %+v, %v", s, err)
	}
	broken.repaired = true
	e.eraseDue(b.ctx(), later.Add(sweepRetry-time.Millisecond))
	if !b.user("alice").Deleted {
		t.Fatal("the retry was too early")
	}
	e.eraseDue(b.ctx(), later.Add(sweepRetry))
	if u := b.user("alice"); u.Deleted || u.Exists || u.TokensAfter == 0 {
		t.Errorf("the user is %+v", u)
	}
	if got := b.stored("alice", "bob"); got != "[]" || counter(t, registry, "accounts_erased_total") != 1 || len(e.due) != 0 {
		t.Errorf("the store has %s, the metric counts %v, %v are due", got, counter(t, registry, "accounts_erased_total"), e.due)
	}
	for _, at := range []time.Duration{streams.MinEraseMemory - time.Hour, streams.MinEraseMemory + time.Hour} {
		if err := k.round(b.ctx(), deleted.Add(at)); err != nil {
			t.Fatal(err)
		}
		if known := b.user("alice").TokensAfter != 0; known != (at < streams.MinEraseMemory) {
			t.Errorf("after %s the record exists: %t", at, known)
		}
	}
}

// TestErasureWithSlowClock: the clock of the gateway that deleted the account may be slow.
// The worker waits for streams.EraseSettle by its own clock.
func TestErasureWithSlowClock(t *testing.T) {
	b := newBench(t)
	b.device("alice", 0)
	if _, err := b.conn.DeleteAccount(b.ctx(), "alice", 0); err != nil {
		t.Fatal(err)
	}
	e, _ := b.newErasure(b.store)
	e.devicesChanged("alice", schemas.Devices{DeletedAt: schemas.Now() - 3600_000})
	learned := time.Now()
	for _, after := range []time.Duration{0, streams.EraseSettle - time.Second, streams.EraseSettle} {
		e.eraseDue(b.ctx(), learned.Add(after))
		if free := !b.user("alice").Deleted; free != (after == streams.EraseSettle) {
			t.Errorf("after %s the name is free: %t", after, free)
		}
	}
}

// TestErasedRecordOutlivesItsMessages: the record of an erased account stays while inboxes may
// still hold messages of it.
func TestErasedRecordOutlivesItsMessages(t *testing.T) {
	const wait = 60 * 24 * time.Hour
	b := newBench(t)
	b.conn = streamstest.Connect(t, b.server, streams.Topology{InboxMaxAge: wait})
	b.device("alice", 0)
	if _, err := b.conn.DeleteAccount(b.ctx(), "alice", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.conn.FinishErasure(b.ctx(), "alice"); err != nil {
		t.Fatal(err)
	}
	k := &upkeep{streams: b.conn, log: streamstest.Log(t)}
	for _, at := range []time.Duration{streams.MinEraseMemory + time.Hour, wait, wait + 25*time.Hour} {
		if err := k.round(b.ctx(), time.Now().Add(at)); err != nil {
			t.Fatal(err)
		}
		if known := b.user("alice").TokensAfter != 0; known != (at <= wait) {
			t.Errorf("after %s the record exists: %t", at, known)
		}
	}
}

// TestErasedRecordKeepsReservedName: the record of an erased account stays while its name is
// reserved, even after its tokens have expired.
func TestErasedRecordKeepsReservedName(t *testing.T) {
	b := newBench(t)
	b.device("alice", 0)
	const reserved = 2 * streams.MinEraseMemory
	if _, err := b.conn.DeleteAccount(b.ctx(), "alice", reserved); err != nil {
		t.Fatal(err)
	}
	if _, err := b.conn.FinishErasure(b.ctx(), "alice"); err != nil {
		t.Fatal(err)
	}
	k := &upkeep{streams: b.conn, log: streamstest.Log(t)}
	for _, at := range []time.Duration{time.Hour, streams.MinEraseMemory + time.Hour, reserved - time.Hour, reserved + time.Hour} {
		if err := k.round(b.ctx(), time.Now().Add(at)); err != nil {
			t.Fatal(err)
		}
		if known := b.user("alice").TokensAfter != 0; known != (at < reserved) {
			t.Errorf("after %s the record exists: %t", at, known)
		}
	}
}

// TestLateReceiverLearnsOfDeletion: if a user receives a message of a deleted account after the
// deletion, the next round sends a user_deleted entry to that user.
func TestLateReceiverLearnsOfDeletion(t *testing.T) {
	b := newBench(t)
	b.device("alice", 0)
	bob := b.device("bob", 0)
	if _, err := b.conn.DeleteAccount(b.ctx(), "alice", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.conn.FinishErasure(b.ctx(), "alice"); err != nil {
		t.Fatal(err)
	}
	if err := b.conn.Receipts().Advance(b.ctx(), "alice", "bob", schemas.Watermark{DeliveredUpTo: b.conn.Clock().Next()}); err != nil {
		t.Fatal(err)
	}
	k := &upkeep{streams: b.conn, log: streamstest.Log(t)}
	if err := k.round(b.ctx(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	stream, err := streamstest.JetStream(t, b.server).Stream(b.ctx(), "INBOX_0")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(b.ctx(), "inbox.0.bob."+string(bob.Device))
	if err != nil || !strings.Contains(string(m.Data), `"type":"user_deleted"`) {
		t.Errorf("bob has %+v, %v", m, err)
	}
}

// noChats is a store whose Chats fails until it is repaired.
type noChats struct {
	Store
	repaired bool
}

func (s *noChats) Chats(ctx context.Context, u schemas.UserID) ([]schemas.ChatID, error) {
	if !s.repaired {
		return nil, errors.New("not now")
	}
	return s.Store.Chats(ctx, u)
}
