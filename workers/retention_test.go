package workers

import (
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
	page, err := b.store.Page(b.ctx(), schemas.ChatWith(of, schemas.Participant{User: with}), 1, schemas.Now(), 100)
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
	r.plan("alice", visit{at: now, again: true})
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
