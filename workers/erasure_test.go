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
	"roost/streams/streamstest"
)

func (b *bench) person(u schemas.UserID) *streams.Person {
	b.t.Helper()
	p, err := b.conn.Directory().Fresh(b.ctx(), u)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// newErasure is one without a worker around it, so that the test has the time in
// its hands.
func (b *bench) newErasure(store Store) (*erasure, *prometheus.Registry) {
	registry := prometheus.NewRegistry()
	o, m := Options{Streams: b.conn, Store: store, Log: streamstest.Log(b.t)}, newMetrics(registry)
	return newErasure(o, m, newRetention(o, m)), registry
}

// TestDeletedAccountsHistory goes as if she had switched it off; what others keep
// stays.
func TestDeletedAccountsHistory(t *testing.T) {
	for name, remove := range map[string]func(*bench){
		"deleted": func(b *bench) {
			if _, err := b.conn.DeleteAccount(b.ctx(), "alice", 0); err != nil {
				b.t.Fatal(err)
			}
		},
		"cut short": func(b *bench) { streamstest.Tombstone(b.t, b.server, "alice") }, // her settings still say that she keeps it
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
			b.post("alice", "bob", "was on its way")
			b.post("carol", "alice", "carol keeps it")
			b.wantHistory("carol", "alice", "carol keeps it", "both keep it")
			if got := b.stored("alice", "bob"); got != "[]" {
				t.Errorf("the mirror stored %s for her", got)
			}
		})
	}
}

// TestErasureCompletesADeletion that was cut short, once nobody stores anything for
// her any more, and not before history is deleted.
func TestErasureCompletesADeletion(t *testing.T) {
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
		if e.changed(u, record); len(e.due) != 1 {
			t.Errorf("nothing is to be deleted of %s, and %v are due", u, e.due)
		}
	}
	deleted := time.Now()
	e.complete(b.ctx(), deleted)
	if !b.person("alice").Deleted {
		t.Fatal("the name is free before others know")
	}
	if s, err := b.conn.Directory().Settings(b.ctx(), "alice"); err != nil || !s.KeepsHistory() {
		t.Errorf("erased again before others know: %+v, %v", s, err)
	}
	later := deleted.Add(streams.EraseSettle)
	e.complete(b.ctx(), later)
	if !b.person("alice").Deleted {
		t.Fatal("the name is free though history is not deleted")
	}
	if s, err := b.conn.Directory().Settings(b.ctx(), "alice"); err != nil || s.KeepsHistory() {
		t.Errorf("her settings are still there: %+v, %v", s, err)
	}
	broken.mended = true
	e.complete(b.ctx(), later.Add(sweepRetry-time.Millisecond))
	if !b.person("alice").Deleted {
		t.Fatal("tried again too early")
	}
	e.complete(b.ctx(), later.Add(sweepRetry))
	if p := b.person("alice"); p.Deleted || p.Exists || p.TokensAfter == 0 {
		t.Errorf("she is %+v", p)
	}
	if got := b.stored("alice", "bob"); got != "[]" || counter(t, registry, "accounts_erased_total") != 1 || len(e.due) != 0 {
		t.Errorf("the store has %s, %v are counted, %v are due", got, counter(t, registry, "accounts_erased_total"), e.due)
	}
	for _, at := range []time.Duration{streams.MinEraseMemory - time.Hour, streams.MinEraseMemory + time.Hour} {
		if err := k.round(b.ctx(), deleted.Add(at)); err != nil {
			t.Fatal(err)
		}
		if known := b.person("alice").TokensAfter != 0; known != (at < streams.MinEraseMemory) {
			t.Errorf("after %s she is remembered: %t", at, known)
		}
	}
}

// By whatever clock an account was deleted, others have had their time to hear of it from
// when the worker has.
func TestErasureWithAClockThatIsBehind(t *testing.T) {
	b := newBench(t)
	b.device("alice", 0)
	if _, err := b.conn.DeleteAccount(b.ctx(), "alice", 0); err != nil {
		t.Fatal(err)
	}
	e, _ := b.newErasure(b.store)
	e.changed("alice", schemas.Devices{DeletedAt: schemas.Now() - 3600_000})
	heard := time.Now()
	for _, after := range []time.Duration{0, streams.EraseSettle - time.Second, streams.EraseSettle} {
		e.complete(b.ctx(), heard.Add(after))
		if free := !b.person("alice").Deleted; free != (after == streams.EraseSettle) {
			t.Errorf("after %s the name is free: %t", after, free)
		}
	}
}

// A deleted account is remembered while messages of it may still arrive, however long
// they wait.
func TestErasureIsRememberedWhileMessagesWait(t *testing.T) {
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
		if known := b.person("alice").TokensAfter != 0; known != (at <= wait) {
			t.Errorf("after %s she is remembered: %t", at, known)
		}
	}
}

// A record with a reserved name outlives the tokens of the account.
func TestReservedNamesAreRemembered(t *testing.T) {
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
		if known := b.person("alice").TokensAfter != 0; known != (at < reserved) {
			t.Errorf("after %s she is remembered: %t", at, known)
		}
	}
}

// A user who gets a message of a deleted account later is told in the next round.
func TestLatePeersHearOfADeletion(t *testing.T) {
	b := newBench(t)
	b.device("alice", 0)
	bob := b.device("bob", 0)
	if _, err := b.conn.DeleteAccount(b.ctx(), "alice", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.conn.FinishErasure(b.ctx(), "alice"); err != nil {
		t.Fatal(err)
	}
	if err := b.conn.AdvanceReceipt(b.ctx(), "alice", "bob", schemas.Watermark{DeliveredUpTo: b.conn.Clock().Next()}); err != nil {
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

// noChats is a store that does not answer until it is mended.
type noChats struct {
	Store
	mended bool
}

func (s *noChats) Chats(ctx context.Context, u schemas.UserID) ([]schemas.ChatID, error) {
	if !s.mended {
		return nil, errors.New("not now")
	}
	return s.Store.Chats(ctx, u)
}
