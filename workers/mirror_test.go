package workers

import (
	"context"
	"errors"
	"sync"
	"testing"

	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
)

// TestStoredMessagesLeaveTheStream: the worker removes stored messages from MESSAGES.
func TestStoredMessagesLeaveTheStream(t *testing.T) {
	b := newBench(t)
	b.keep("alice", schemas.HistoryDays)
	b.run(b.store)
	b.post("alice", "bob", "kept")
	b.wantHistory("alice", "bob", "kept")
	js := streamstest.JetStream(t, b.server)
	b.eventually("MESSAGES is empty", func() bool { return streamstest.Stored(t, js, "MESSAGES") == 0 })
}

// TestMessagesForServicesAreNotStored: MESSAGES also has messages that only other services
// consume, for example one that a block withholds from its receiver. The mirror skips them.
func TestMessagesForServicesAreNotStored(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	b.keep("bob", 90)
	id := b.conn.Clock().Next()
	m := &schemas.Message{MessageID: id, SenderID: "alice", ReceiverID: "bob", Content: "withheld", Timestamp: id.Time(), SenderDeviceID: "x", MessageIDByClient: 1}
	done := make(chan error, 1)
	b.conn.CommitCopies(streams.Copies{Message: m, Entry: m.StoredMessage(), Log: true}, func(_ []uint64, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.post("alice", "bob", "kept")
	b.wantHistory("bob", "alice", "kept") // the withheld message came before it
}

// TestMirrorKeepsWhatIsKept: the mirror stores a message if a participant keeps history since
// before it was sent.
func TestMirrorKeepsWhatIsKept(t *testing.T) {
	b := newBench(t)
	m := &mirror{directory: b.conn.Directory()}
	since := b.keep("bob", 90).HistorySince
	b.keep("carol", 0)
	for _, c := range []struct {
		from, to schemas.UserID
		at       schemas.Timestamp
		want     bool
	}{
		{"alice", "bob", since - 1, false}, {"alice", "bob", since, true}, {"bob", "alice", since, true}, {"bob", "alice", since - 1, false},
		{"alice", "carol", since, false}, {"nobody", "alice", since, false},
	} {
		if got, err := m.kept(b.ctx(), &schemas.Message{SenderID: c.from, ReceiverID: c.to, Timestamp: c.at}); err != nil || got != c.want {
			t.Errorf("%+v: %t, %v", c, got, err)
		}
	}
}

func TestMirrorIsIdempotent(t *testing.T) {
	b := newBench(t)
	m := b.post("alice", "bob", "once")
	if err := b.store.Append(b.ctx(), []schemas.Message{m}); err != nil {
		t.Fatal(err)
	}
	b.keep("alice", 90)
	// The message is older than alice's history: move the start of the history.
	if _, err := b.conn.Directory().ChangeSettings(b.ctx(), "alice", func(s schemas.Settings) schemas.Settings {
		s.HistorySince = 1
		return s
	}); err != nil {
		t.Fatal(err)
	}
	registry := b.run(b.store)
	b.eventually("the store has the message", func() bool { return counter(t, registry, "messages_stored_total") == 1 })
	b.wantHistory("alice", "bob", "once")
}

// TestPoison: the mirror terminates and counts a message that it cannot decode. It does not
// block later messages.
func TestPoison(t *testing.T) {
	b := newBench(t)
	b.keep("alice", 90)
	id := b.conn.Clock().Next()
	b.commit(&schemas.Message{MessageID: id, SenderID: "alice", ReceiverID: "bob", Timestamp: id.Time(), SenderDeviceID: "x"}) // no content
	b.post("alice", "bob", "after it")
	registry := b.run(b.store)
	b.wantHistory("alice", "bob", "after it")
	if got := counter(t, registry, "messages_unstorable_total"); got != 1 {
		t.Errorf("the metric counts %v unstorable messages, want 1", got)
	}
	js := streamstest.JetStream(t, b.server)
	b.eventually("MESSAGES is empty", func() bool { return streamstest.Stored(t, js, "MESSAGES") == 0 })
}

// picky refuses one message, and each batch that contains it.
type picky struct {
	Store
	mu      sync.Mutex
	refuses string
}

func (p *picky) Append(ctx context.Context, messages []schemas.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range messages {
		if m.Content == p.refuses {
			return errors.New("not this one")
		}
	}
	return p.Store.Append(ctx, messages)
}

func TestRefusedMessageDoesNotBlockOthers(t *testing.T) {
	b := newBench(t)
	b.keep("alice", 90)
	for _, content := range []string{"1", "trouble", "2"} {
		b.post("alice", "bob", content)
	}
	store := &picky{Store: b.store, refuses: "trouble"}
	b.run(store)
	b.wantHistory("alice", "bob", "2", "1")
	store.mu.Lock()
	store.refuses = ""
	store.mu.Unlock()
	b.wantHistory("alice", "bob", "2", "trouble", "1")
}
