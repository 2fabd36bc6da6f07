package workers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/schemas"
	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/streamstest"
	"roost/workers/sqlite"
)

// bench is a worker's surroundings: a real NATS server and a real store.
type bench struct {
	t      *testing.T
	server *embedded.Server
	conn   *streams.Conn
	store  *sqlite.Store
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	server := streamstest.Server(t, filepath.Join(dir, "nats"))
	conn := streamstest.Connect(t, server, streams.Topology{})
	store, err := sqlite.Open(filepath.Join(dir, "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	stop, err := conn.ServeErasures() // as a gateway does
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return &bench{t: t, server: server, conn: conn, store: store}
}

// run starts a worker on store and stops it with the test.
func (b *bench) run(store Store) *prometheus.Registry {
	b.t.Helper()
	return b.runWith(Options{Store: store})
}

// runWith starts a worker with other options as well.
func (b *bench) runWith(o Options) *prometheus.Registry {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	registry := prometheus.NewRegistry()
	o.Streams, o.Registry, o.Log = b.conn, registry, streamstest.Log(b.t)
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	return registry
}

func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
	b.t.Cleanup(cancel)
	return ctx
}

// keep sets a user's history on or off.
func (b *bench) keep(u schemas.UserID, days int) schemas.Settings {
	b.t.Helper()
	if err := b.conn.Directory().EnsureUser(b.ctx(), u); err != nil {
		b.t.Fatal(err)
	}
	s, err := b.conn.Directory().ChangeSettings(b.ctx(), u, func(s schemas.Settings) schemas.Settings {
		return (&schemas.SettingsChange{HistoryStorage: &days}).Apply(s, schemas.Now())
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// post puts a message into MESSAGES as a gateway does.
func (b *bench) post(from, to schemas.UserID, content string) schemas.Message {
	b.t.Helper()
	id := b.conn.Clock().Next()
	m := schemas.Message{MessageID: id, SenderID: from, ReceiverID: to, Content: content, Timestamp: id.Time(),
		SenderDeviceID: schemas.DeviceID(b.conn.Clock().NextULID()), MessageIDByClient: 1}
	b.commit(&m)
	return m
}

func (b *bench) commit(m *schemas.Message) {
	b.t.Helper()
	done := make(chan error, 1)
	b.conn.CommitCopies(streams.Copies{Message: m, Entry: m.StoredMessage(), Log: true, Keep: true},
		func(_ []uint64, err error) { done <- err })
	if err := <-done; err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) history(as, with schemas.UserID) []string {
	b.t.Helper()
	reply, err := b.conn.HistoryPage(b.ctx(), schemas.HistoryRequest{UserID: as, Chat: string(with)})
	if err != nil {
		return []string{err.Error()}
	}
	var contents []string
	for _, m := range reply.Messages {
		contents = append(contents, m.Content)
	}
	return contents
}

func (b *bench) wantHistory(as, with schemas.UserID, want ...string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("history of %s with %s is %v", as, with, want), func() bool {
		return fmt.Sprint(b.history(as, with)) == fmt.Sprint(want)
	})
}

func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(streamstest.Timeout); time.Now().Before(deadline); {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.t.Fatalf("in vain waited for: %s", what)
}

// What is stored leaves MESSAGES.
func TestStoredMessagesLeaveTheStream(t *testing.T) {
	b := newBench(t)
	b.keep("alice", schemas.HistoryDays)
	b.run(b.store)
	b.post("alice", "bob", "kept")
	b.wantHistory("alice", "bob", "kept")
	js := streamstest.JetStream(t, b.server)
	b.eventually("MESSAGES is empty", func() bool { return streamstest.Stored(t, js, "MESSAGES") == 0 })
}

func TestHistoryFollowsTheReadersSettings(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	b.keep("alice", 90)
	b.keep("bob", 0)
	b.post("alice", "bob", "1")
	b.post("bob", "alice", "2")
	b.wantHistory("alice", "bob", "2", "1")
	if got := b.history("bob", "alice"); len(got) != 0 {
		t.Errorf("bob, who keeps none, sees %v", got)
	}
	b.keep("bob", 90)
	b.post("alice", "bob", "3")
	b.wantHistory("alice", "bob", "3", "2", "1")
	b.wantHistory("bob", "alice", "3") // what came before is not his
}

// What is in MESSAGES for other services alone is not history: a message that a
// block withholds from a receiver who keeps history, say.
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
	b.wantHistory("bob", "alice", "kept") // which came behind it
}

// What was on its way is kept by who keeps history since before it was sent.
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

func TestPagesOfTwenty(t *testing.T) {
	b := newBench(t)
	b.run(b.store)
	b.keep("alice", 90)
	var fifth schemas.Message
	for i := range 25 {
		m := b.post("alice", "bob", fmt.Sprint(i))
		if i == 4 {
			fifth = m
			for schemas.Now() <= fifth.Timestamp { // the sixth is of a later millisecond
				runtime.Gosched()
			}
		}
	}
	b.eventually("the newest 20", func() bool {
		got := b.history("alice", "bob")
		return len(got) == schemas.HistoryPageSize && got[0] == "24" && got[19] == "5"
	})
	reply, err := b.conn.HistoryPage(b.ctx(), schemas.HistoryRequest{UserID: "alice", Chat: "bob", UpTo: fifth.Timestamp})
	if err != nil || len(reply.Messages) != 5 || reply.Messages[4].Content != "0" {
		t.Errorf("up to the fifth: %v %v", reply.Messages, err)
	}
}

func TestMirrorIsIdempotent(t *testing.T) {
	b := newBench(t)
	m := b.post("alice", "bob", "once")
	if err := b.store.Append(b.ctx(), []schemas.Message{m}); err != nil {
		t.Fatal(err)
	}
	b.keep("alice", 90)
	// The message is older than alice's choice; take it for older yet.
	if _, err := b.conn.Directory().ChangeSettings(b.ctx(), "alice", func(s schemas.Settings) schemas.Settings {
		s.HistorySince = 1
		return s
	}); err != nil {
		t.Fatal(err)
	}
	registry := b.run(b.store)
	b.eventually("the message is taken", func() bool { return counter(t, registry, "messages_stored_total") == 1 })
	b.wantHistory("alice", "bob", "once")
}

// TestPoison: a message that can never be stored is terminated, counted, and
// holds nobody up.
func TestPoison(t *testing.T) {
	b := newBench(t)
	b.keep("alice", 90)
	id := b.conn.Clock().Next()
	b.commit(&schemas.Message{MessageID: id, SenderID: "alice", ReceiverID: "bob", Timestamp: id.Time(), SenderDeviceID: "x"}) // no content
	b.post("alice", "bob", "behind it")
	registry := b.run(b.store)
	b.wantHistory("alice", "bob", "behind it")
	if got := counter(t, registry, "messages_unstorable_total"); got != 1 {
		t.Errorf("%v messages are counted as unstorable, want 1", got)
	}
	jobs, err := b.conn.MirrorJobs(b.ctx())
	if err != nil {
		t.Fatal(err)
	}
	b.eventually("nothing waits", func() bool {
		n, err := jobs.Waiting(b.ctx())
		return err == nil && n == 0
	})
}

// picky does not take one message, and batches with it.
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

func TestOneMessageDoesNotHoldUpTheOthers(t *testing.T) {
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

func TestSwitchingHistoryOffDeletes(t *testing.T) {
	b := newBench(t)
	registry := b.run(b.store)
	b.keep("alice", 90)
	b.keep("bob", 90)
	b.post("alice", "bob", "both keep it")
	b.post("alice", "carol", "alice alone keeps it")
	b.wantHistory("alice", "bob", "both keep it")
	b.wantHistory("alice", "carol", "alice alone keeps it")
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

// TestChoiceWithoutAWorker: switched off while no worker ran.
func TestChoiceWithoutAWorker(t *testing.T) {
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

func counter(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "roost_worker_"+name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0 // the worker has not begun yet
}

// TestAllPages: whoever asks for what is before the last one of a page gets
// everything once, however much is of one millisecond.
func TestAllPages(t *testing.T) {
	b := newBench(t)
	since := b.keep("alice", 90).HistorySince
	b.run(b.store)
	var all []schemas.Message
	add := func(with schemas.UserID, at schemas.Timestamp, n int) {
		for range n {
			id := schemas.MessageIDAt(at)
			id = id[:20] + schemas.MessageID(fmt.Sprintf("%06d", len(all)))
			all = append(all, schemas.Message{MessageID: id, SenderID: "alice", ReceiverID: with, Content: fmt.Sprint(len(all)), Timestamp: at})
		}
	}
	add("bob", since, 25)
	add("bob", since+1, 150)
	add("bob", since+2, 20)
	add("carol", since+2, 20)
	add("dave", since-1, 3) // before she kept history
	if err := b.store.Append(b.ctx(), all); err != nil {
		t.Fatal(err)
	}
	var chats []string
	b.eventually("a worker answers", func() bool {
		reply, err := b.conn.HistoryChats(b.ctx(), schemas.ChatsRequest{UserID: "alice"})
		chats = reply.Chats
		return err == nil
	})
	if fmt.Sprint(chats) != "[bob carol dave]" {
		t.Errorf("the chats are %v", chats)
	}
	if reply, err := b.conn.HistoryChats(b.ctx(), schemas.ChatsRequest{UserID: "alice", After: "bob"}); err != nil || fmt.Sprint(reply.Chats) != "[carol dave]" {
		t.Errorf("behind bob: %v, %v", reply, err)
	}
	if reply, err := b.conn.HistoryChats(b.ctx(), schemas.ChatsRequest{UserID: "bob"}); err != nil || len(reply.Chats) != 0 {
		t.Errorf("of bob, who keeps none: %v, %v", reply, err)
	}
	for with, want := range map[string]int{"bob": 195, "carol": 20, "dave": 0} {
		seen := make(map[schemas.MessageID]bool)
		for before := schemas.MessageID(""); ; {
			reply, err := b.conn.HistoryPage(b.ctx(), schemas.HistoryRequest{UserID: "alice", Chat: with, Before: before})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range reply.Messages {
				if seen[m.MessageID] || before != "" && m.MessageID >= before {
					t.Fatalf("%s comes behind %s", m.MessageID, before)
				}
				seen[m.MessageID], before = true, m.MessageID
			}
			if len(reply.Messages) < schemas.HistoryPageSize {
				break
			}
		}
		if len(seen) != want {
			t.Errorf("%d messages with %s, not %d", len(seen), with, want)
		}
	}
}
