package ferrettest

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"

	"roost/schemas"
	"roost/workers/mongo"
)

// recorder records the commands that a store sends.
type recorder struct {
	mu       sync.Mutex // guards commands
	commands []bson.Raw
}

func (r *recorder) monitor() *event.CommandMonitor {
	return &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.commands = append(r.commands, slices.Clone(e.Command))
	}}
}

// take returns the commands since the last call.
func (r *recorder) take() []bson.Raw {
	r.mu.Lock()
	defer r.mu.Unlock()
	commands := r.commands
	r.commands = nil
	return commands
}

const (
	goldenNow = schemas.Timestamp(1_767_323_045_678) // 2026-01-02 03:04:05.678 UTC
	goldenDay = schemas.Timestamp(24 * 60 * 60 * 1000)
)

func recordedStore(t *testing.T) (*mongo.Store, *recorder) {
	t.Helper()
	r := new(recorder)
	s := openStore(t, mongo.Options{
		Logger:  slog.New(slog.DiscardHandler),
		Monitor: r.monitor(),
		Now:     func() schemas.Timestamp { return goldenNow },
	})
	return s, r
}

// TestGolden compares every command of the store with a file. The messages are from January
// 2026, so the TTL of a real MongoDB deletes them within a minute. No step notices that,
// because the test compares commands and not answers.
func TestGolden(t *testing.T) {
	s, r := recordedStore(t)
	ctx := t.Context()
	compare(t, "open", r.take())

	direct := schemas.Message{
		MessageID: "01KDYH7HJE0000000000000001", SenderID: "alice", ReceiverID: "bob", Content: "hello 🦉", Timestamp: goldenNow,
		ReplyTo: "01KDYH7HJE0000000000000000", SenderDeviceID: "01K5DEV1CE0000000000000000", MessageIDByClient: 7,
	}
	disappears := schemas.Message{
		MessageID: "01KDYH7HJE0000000000000003", SenderID: "alice", ReceiverID: "bob", Content: "psst", Timestamp: goldenNow,
		ExpiresAt: goldenNow + 7*goldenDay,
	}
	liked := schemas.Message{
		MessageID: "01KDYH7HJE0000000000000004", SenderID: "bob", ReceiverID: "alice", Content: "👍", Timestamp: goldenNow + 1,
		SenderDeviceID: "01K5DEV1CE0000000000000000", MessageIDByClient: 8,
		Change: schemas.ChangeReaction, TargetMessageID: "01KDYH7HJE0000000000000005", ExpiresAt: goldenNow + 7*goldenDay,
	}
	group := schemas.Message{
		MessageID: "01KDYH7HJE0000000000000002", SenderID: "bob", GroupID: "g-01K5ZZZZZZZZZZZZZZZZZZZZZZ", Content: "hello all", Timestamp: goldenNow,
	}
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"append", func() error { return s.Append(ctx, []schemas.Message{direct, group}) }},
		{"append_expiring", func() error { return s.Append(ctx, []schemas.Message{disappears}) }},
		{"append_update", func() error { return s.Append(ctx, []schemas.Message{liked}) }},
		{"updates", func() error {
			_, err := s.Updates(ctx, direct.Chat(), []schemas.MessageID{direct.MessageID, disappears.MessageID})
			return err
		}},
		{"ping", func() error { return s.Ping(ctx) }},
		{"page", func() error {
			_, err := s.Page(ctx, direct.Chat(), goldenNow-goldenDay, goldenNow, schemas.HistoryPageSize)
			return err
		}},
		{"page_within_retention", func() error {
			_, err := s.Page(ctx, direct.Chat(), 0, goldenNow, schemas.HistoryPageSize)
			return err
		}},
		{"page_without_end", func() error { // the driver would keep only the lower 32 bits of the limit
			_, err := s.Page(ctx, direct.Chat(), goldenNow, goldenNow, 1<<40)
			return err
		}},
		{"chats", func() error { _, err := s.Chats(ctx, "alice"); return err }},
		{"delete_between_without_match", func() error { _, err := s.DeleteBetween(ctx, direct.Chat(), 0, goldenNow-goldenDay); return err }},
	} {
		if err := step.run(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		compare(t, step.name, r.take())
	}
}

// TestGoldenDeletes uses messages of today, because a delete names the ids that a find
// returned.
func TestGoldenDeletes(t *testing.T) {
	s, r := recordedStore(t)
	ctx, now := t.Context(), schemas.Now()
	m := schemas.Message{MessageID: "01KDYH7HJE0000000000000001", SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: now}
	expired := now + (schemas.HistoryDays+1)*goldenDay
	for _, step := range []struct {
		name string
		run  func() (int, error)
	}{
		{"delete_between", func() (int, error) { return s.DeleteBetween(ctx, m.Chat(), 0, now+1) }},
		{"delete_expired", func() (int, error) { return s.DeleteExpired(ctx, expired) }},
	} {
		if err := s.Append(ctx, []schemas.Message{m}); err != nil {
			t.Fatal(err)
		}
		r.take()
		if n, err := step.run(); n != 1 || err != nil {
			t.Fatalf("%s: deleted %d, error %v", step.name, n, err)
		}
		commands := r.take()
		for i := range commands {
			commands[i] = replaceTimes(t, commands[i], map[schemas.Timestamp]schemas.Timestamp{now + 1: goldenNow, expired: goldenNow})
			commands[i] = replaceIDs(t, commands[i], now+1)
		}
		compare(t, step.name, commands)
	}
}

// TestGoldenUpdates tests commands that name the ids that a find returned: for a deletion and
// an edit that are superseded, or deleted with the content, and for an update that comes before
// its message and expires with it.
func TestGoldenUpdates(t *testing.T) {
	s, r := recordedStore(t)
	ctx, now := t.Context(), schemas.Now()
	m := schemas.Message{MessageID: schemas.MessageIDAt(now)[:10] + "0000000000000001", SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: now}
	of := func(n int, by, to schemas.UserID, change schemas.MessageChange) schemas.Message {
		return schemas.Message{MessageID: m.MessageID[:25] + schemas.MessageID(rune('0'+n)), SenderID: by, ReceiverID: to, Timestamp: now, Change: change, TargetMessageID: m.MessageID}
	}
	early, edited, gone := of(2, "bob", "alice", schemas.ChangeReaction), of(3, "alice", "bob", schemas.ChangeEdit), of(4, "alice", "bob", schemas.ChangeDelete)
	edited.Content = "y"
	m.ExpiresAt = now + goldenDay
	if err := s.Append(ctx, []schemas.Message{early}); err != nil {
		t.Fatal(err)
	}
	r.take()
	for _, step := range []struct {
		name string
		m    schemas.Message
	}{
		{"append_after_its_update", m},
		{"append_edit", edited},
		{"append_deletion", gone},
	} {
		if err := s.Append(ctx, []schemas.Message{step.m}); err != nil {
			t.Fatal(err)
		}
		commands := r.take()
		for i := range commands {
			commands[i] = replaceTimes(t, commands[i], map[schemas.Timestamp]schemas.Timestamp{
				now: goldenNow, m.ExpiresAt: goldenNow + goldenDay, m.ExpiresAt - 1: goldenNow + goldenDay - 1,
				edited.KeptUntil(): goldenNow + schemas.HistoryDays*goldenDay,
			})
			commands[i] = replaceIDs(t, commands[i], now)
		}
		compare(t, step.name, commands)
	}
}

// replaceIDs replaces the time of this run in ids by a fixed one.
func replaceIDs(t *testing.T, command bson.Raw, at schemas.Timestamp) bson.Raw {
	t.Helper()
	from, to := `"`+schemas.MessageIDAt(at)[:10], `"`+schemas.MessageIDAt(goldenNow)[:10]
	data, err := bson.MarshalExtJSON(command, true, false)
	if err != nil {
		t.Fatal(err)
	}
	var d bson.D
	if err := bson.UnmarshalExtJSON(bytes.ReplaceAll(data, []byte(from), []byte(to)), true, &d); err != nil {
		t.Fatal(err)
	}
	if command, err = bson.Marshal(d); err != nil {
		t.Fatal(err)
	}
	return command
}

// TestAppendInBatches checks the size of the commands.
func TestAppendInBatches(t *testing.T) {
	s, r := recordedStore(t)
	r.take()
	messages := make([]schemas.Message, 2_001)
	for i := range messages {
		id := schemas.MessageIDAt(goldenNow + schemas.Timestamp(i))
		messages[i] = schemas.Message{MessageID: id, SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: goldenNow}
	}
	if err := s.Append(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, c := range r.take() {
		if _, err := c.LookupErr("insert"); err != nil {
			continue
		}
		documents, err := c.Lookup("documents").Array().Values()
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(documents))
	}
	if want := []int{1000, 1000, 1}; !slices.Equal(sizes, want) {
		t.Errorf("inserts of %v documents, want %v", sizes, want)
	}
}

// compare compares commands with a golden file. It leaves out the fields that depend on the
// run, the server or the topology.
func compare(t *testing.T, name string, commands []bson.Raw) {
	t.Helper()
	var got bytes.Buffer
	for _, c := range commands {
		// Canonical JSON shows the difference between a long, an int and a date.
		data, err := bson.MarshalExtJSON(normal(t, c), true, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Indent(&got, data, "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
	}
	path := filepath.Join("testdata", name+".golden.json")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s differs; if that is intended, run with -update\ngot\n%s\nwant\n%s", path, got.Bytes(), want)
	}
}

func normal(t *testing.T, command bson.Raw) bson.D {
	t.Helper()
	var all, kept bson.D
	if err := bson.Unmarshal(command, &all); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		switch e.Key {
		case "lsid", "txnNumber", "$clusterTime", "$readPreference":
			continue // it depends on the session and the topology
		case "$db":
			if name, _ := e.Value.(string); strings.HasPrefix(name, "roost_test_") {
				e.Value = "roost_test_…"
			}
		case "maxTimeMS":
			e.Value = "what is left of the deadline"
		}
		kept = append(kept, e)
	}
	return kept
}

// replaceTimes replaces the times of this run in filters by fixed ones.
func replaceTimes(t *testing.T, command bson.Raw, fixed map[schemas.Timestamp]schemas.Timestamp) bson.Raw {
	t.Helper()
	var d bson.D
	if err := bson.Unmarshal(command, &d); err != nil {
		t.Fatal(err)
	}
	data, err := bson.Marshal(replaceIn(d, fixed))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func replaceIn(value any, fixed map[schemas.Timestamp]schemas.Timestamp) any {
	switch v := value.(type) {
	case bson.D:
		for i := range v {
			v[i].Value = replaceIn(v[i].Value, fixed)
		}
	case bson.A:
		for i := range v {
			v[i] = replaceIn(v[i], fixed)
		}
	case int64:
		if f, ok := fixed[schemas.Timestamp(v)]; ok {
			return int64(f)
		}
	case bson.DateTime:
		if f, ok := fixed[schemas.Timestamp(v)]; ok {
			return bson.DateTime(f)
		}
	}
	return value
}
