package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"roost/schemas"
)

func TestOpenRefuses(t *testing.T) {
	write := func(content string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	run := func(statements string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = db.Exec(statements)
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name, want string
		arrange    func(t *testing.T, path string)
	}{
		{"text", "it is not a SQLite database", write(strings.Repeat("Dear diary,\n", 1000))},
		{"a header and nothing more", "it is not a SQLite database", write("SQLite format 3\x00" + strings.Repeat("\xff", 4096))},
		{"a damaged page", "it is not a SQLite database", damaged},
		{"another program's database", "it is the database of another program", run("CREATE TABLE recipes (name TEXT)")},
		{"another program's version", "it is the database of another program", run("PRAGMA user_version = 1")},
		{"a newer version", "a newer version wrote it (schema 1000, this version knows 2)",
			run("CREATE TABLE messages (x); PRAGMA application_id = 0x526f6f73; PRAGMA user_version = 1000")},
		{"a directory", "unable to open database file", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"a file in no directory", "no such file or directory", func(t *testing.T, path string) {
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "directory", "history.db")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			tt.arrange(t, path)
			before, _ := os.ReadFile(path) // it fails for a directory or a missing file
			s, err := Open(path)
			if err == nil {
				_ = s.Close()
				t.Fatal("no error")
			}
			got := err.Error()
			if !strings.HasPrefix(got, "failed to open the history file "+path+": ") || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("got  %q\nwant one line with the path and %q", got, tt.want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("Open refused the file, but changed it")
			}
		})
	}
}

// damaged creates a history file with random bytes in its first page, after the header.
func damaged(t *testing.T, path string) {
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(strings.Repeat("\xff", 3000)), 100)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func openTemp(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestDurabilitySettings(t *testing.T) {
	s := openTemp(t)
	for name, db := range map[string]*sql.DB{"writer": s.writer, "reader": s.reader} {
		var journal string
		var synchronous int
		err := db.QueryRow(`SELECT * FROM pragma_journal_mode, pragma_synchronous`).Scan(&journal, &synchronous)
		if err != nil {
			t.Fatal(err)
		}
		if journal != "wal" || synchronous != 2 {
			t.Errorf("%s: journal_mode=%s synchronous=%d, want wal and 2 (FULL)", name, journal, synchronous)
		}
	}
	var overwrites bool
	if err := s.writer.QueryRow("PRAGMA secure_delete").Scan(&overwrites); err != nil || !overwrites {
		t.Errorf("secure_delete is off (error %v)", err)
	}
	if _, err := s.reader.Exec("DELETE FROM messages"); err == nil {
		t.Error("a connection for reads can write")
	}
}

// TestQueryPlans checks that every query uses its index. The contract suite would pass
// without any index.
func TestQueryPlans(t *testing.T) {
	s := openTemp(t)
	for _, tt := range []struct {
		query string
		args  []any
		want  string
	}{
		{selectPage, []any{"c", 1, 2, 3, 20}, "SEARCH messages USING INDEX messages_by_chat (chat=?)"},
		{deleteBetween, []any{"c", 1, 2, 1000}, "SEARCH messages USING COVERING INDEX messages_by_chat (chat=?)"},
		{deleteExpired, []any{1, 1000}, "SEARCH messages USING COVERING INDEX messages_by_age (timestamp<?)"},
		{deleteDisappeared, []any{1, 1000}, "SEARCH messages USING COVERING INDEX messages_by_end (expires_at>? AND expires_at<?)"},
		{deleteUpdatesBetween, []any{"c", "01", "02", 1000}, "SEARCH updates USING COVERING INDEX updates_by_chat (chat=? AND target_message_id>? AND target_message_id<?)"},
		{deleteExpiredUpdates, []any{1, 1000}, "SEARCH updates USING COVERING INDEX updates_by_end (kept_until<?)"},
		{selectTarget, []any{"01"}, "SEARCH messages USING INDEX sqlite_autoindex_messages_1 (message_id=?)"},
		{selectUpdated(2), []any{"01", "02"}, "SEARCH updates USING PRIMARY KEY (target_message_id=?)"},
		{selectUpdates(2), []any{"c", "01", "02"}, "SEARCH updates USING INDEX updates_by_chat (chat=? AND target_message_id=?)"},
		{deleteForeign, []any{"01", "c", "u"}, "SEARCH updates USING PRIMARY KEY (target_message_id=?)"},
		{emptyDeleted, []any{"01"}, "SEARCH messages USING INDEX sqlite_autoindex_messages_1 (message_id=?)"},
		{deleteOfDeleted, []any{"01"}, "SEARCH updates USING PRIMARY KEY (target_message_id=?)"},
		{keepAsTarget, []any{"01", 1}, "SEARCH updates USING PRIMARY KEY (target_message_id=?)"},
		{deleteParticipants, []any{"c"}, "SEARCH participants USING COVERING INDEX participants_by_chat (chat=?)"},
		{deleteParticipants, []any{"c"}, "SEARCH messages USING COVERING INDEX messages_by_chat (chat=?)"},
		{deleteParticipants, []any{"c"}, "SEARCH updates USING COVERING INDEX updates_by_chat (chat=?)"},
		{selectChats, []any{"u"}, "SEARCH p USING PRIMARY KEY (user_id=?)"},
		{selectChats, []any{"u"}, "SEARCH messages USING INDEX messages_by_chat (chat=?)"},
		{selectChats, []any{"u"}, "SEARCH updates USING INDEX updates_by_chat (chat=?)"},
	} {
		plan := explainPlan(t, s.writer, tt.query, tt.args)
		if !strings.Contains(plan, tt.want) || strings.Contains(plan, "SCAN") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s\nhas the plan\n%s\nwant %q, no SCAN and no TEMP B-TREE", tt.query, plan, tt.want)
		}
	}
}

func explainPlan(t *testing.T, db *sql.DB, query string, args []any) string {
	t.Helper()
	rows, err := db.Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(detail + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

func TestPageEndsAtRetentionToTheMillisecond(t *testing.T) {
	s := openTemp(t)
	now := schemas.Now()
	s.now = func() schemas.Timestamp { return now }
	last := now - schemas.HistoryDays*24*60*60*1000
	m := schemas.Message{MessageID: schemas.MessageIDAt(last), SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: last}
	if err := s.Append(t.Context(), []schemas.Message{m}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		page, err := s.Page(t.Context(), m.Chat(), 0, now, 10)
		if err != nil || len(page) != want {
			t.Errorf("%d ms after its 90 days: %d messages, error %v, want %d", now-last-schemas.HistoryDays*24*60*60*1000, len(page), err, want)
		}
		now++
	}
}

func TestPageHidesExpiredToTheMillisecond(t *testing.T) {
	s := openTemp(t)
	now := schemas.Now()
	s.now = func() schemas.Timestamp { return now }
	m := schemas.Message{MessageID: schemas.MessageIDAt(now), SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: now, ExpiresAt: now + 1}
	if err := s.Append(t.Context(), []schemas.Message{m}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		page, err := s.Page(t.Context(), m.Chat(), 0, now, 10)
		if err != nil || len(page) != want || want == 0 != m.Expired(now) {
			t.Errorf("at %d of %d: %d messages, error %v, want %d", now, m.ExpiresAt, len(page), err, want)
		}
		now++
	}
}

// TestDeletesLeaveNoParticipants: deletes remove the participants of empty chats. The contract
// suite cannot see these rows.
func TestDeletesLeaveNoParticipants(t *testing.T) {
	s := openTemp(t)
	m := schemas.Message{MessageID: schemas.MessageIDAt(1), SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: 1}
	other := schemas.Message{MessageID: schemas.MessageIDAt(2), SenderID: "alice", ReceiverID: "carol", Content: "x", Timestamp: 2}
	if err := s.Append(t.Context(), []schemas.Message{m, other}); err != nil {
		t.Fatal(err)
	}
	participants := func() (n int) {
		t.Helper()
		if err := s.reader.QueryRow("SELECT count(*) FROM participants").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := participants(); n != 4 {
		t.Errorf("%d participants of two chats", n)
	}
	if _, err := s.DeleteBetween(t.Context(), m.Chat(), 0, 2); err != nil || participants() != 2 {
		t.Errorf("%d participants of one chat, error %v", participants(), err)
	}
	if _, err := s.DeleteExpired(t.Context(), schemas.Now()); err != nil || participants() != 0 {
		t.Errorf("%d participants of no chat, error %v", participants(), err)
	}
}

// TestUpdatesLeaveNoParticipants: a chat has no rows after all its updates were forbidden, or
// were deleted with their message.
func TestUpdatesLeaveNoParticipants(t *testing.T) {
	s := openTemp(t)
	at := schemas.Now()
	m := schemas.Message{MessageID: schemas.MessageIDAt(at), SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: at}
	elsewhere := schemas.Message{MessageID: schemas.MessageIDAt(at + 1), SenderID: "alice", ReceiverID: "carol", Content: "👍", Timestamp: at + 1,
		Change: schemas.ChangeReaction, TargetMessageID: m.MessageID}
	liked := elsewhere
	liked.MessageID, liked.ReceiverID = schemas.MessageIDAt(at+2), "bob"
	rows := func(of string) (n int) {
		t.Helper()
		if err := s.reader.QueryRow("SELECT count(*) FROM " + of).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, step := range []struct {
		name                  string
		run                   func() error
		participants, updates int
	}{
		{"updates alone", func() error { return s.Append(t.Context(), []schemas.Message{elsewhere, liked}) }, 4, 2},
		{"the message", func() error { return s.Append(t.Context(), []schemas.Message{m}) }, 2, 1},
		{"all is deleted", func() error { _, err := s.DeleteBetween(t.Context(), m.Chat(), 0, at+1); return err }, 0, 0},
	} {
		if err := step.run(); err != nil {
			t.Fatal(err)
		}
		if p, u := rows("participants"), rows("updates"); p != step.participants || u != step.updates {
			t.Errorf("%s: %d participants and %d updates, want %d and %d", step.name, p, u, step.participants, step.updates)
		}
	}
}

// TestMigration opens a file of the first schema.
func TestMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	at := schemas.Now()
	old := schemas.Message{MessageID: schemas.MessageIDAt(at), SenderID: "alice", ReceiverID: "bob", Content: "of before", Timestamp: at}
	_, err = db.Exec(migrations[0]+`
		PRAGMA application_id = 0x526f6f73;
		PRAGMA user_version = 1;
		INSERT INTO participants (user_id, chat) VALUES ('alice', 'alice.bob'), ('bob', 'alice.bob');
		INSERT INTO messages (message_id, chat, sender_id, receiver_id, group_id, content, timestamp, reply_to, sender_device_id, message_id_by_client)
			VALUES (?, 'alice.bob', 'alice', 'bob', '', 'of before', ?, '', '', 0)`, old.MessageID, at)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second Open has nothing to migrate
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		page, err := s.Page(t.Context(), old.Chat(), 0, at, 10)
		if err != nil || len(page) != 1 || page[0] != old {
			t.Errorf("the page is %+v, error %v", page, err)
		}
		gone := schemas.Message{MessageID: schemas.MessageIDAt(at + 1), SenderID: "bob", ReceiverID: "alice", Content: "👍", Timestamp: at + 1,
			Change: schemas.ChangeReaction, TargetMessageID: old.MessageID}
		if err := s.Append(t.Context(), []schemas.Message{gone}); err != nil {
			t.Fatal(err)
		}
		updates, err := s.Updates(t.Context(), old.Chat(), []schemas.MessageID{old.MessageID})
		if err != nil || len(updates) != 1 || updates[0] != gone {
			t.Errorf("the updates are %+v, error %v", updates, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeletedIsOverwritten searches the bytes of the file for deleted contents.
func TestDeletedIsOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	at := schemas.Now()
	var all, gone []schemas.Message
	for i := range schemas.Timestamp(20) {
		m := schemas.Message{MessageID: schemas.MessageIDAt(at + i), SenderID: "alice", ReceiverID: "bob", Timestamp: at + i,
			Content: "swordfish" + strings.Repeat(" and more", int(50*i))} // some longer than a page
		edit := schemas.Message{MessageID: schemas.MessageIDAt(at + 100 + i), SenderID: "alice", ReceiverID: "bob", Content: "marlin", Timestamp: at + 100 + i,
			Change: schemas.ChangeEdit, TargetMessageID: m.MessageID}
		remove := edit
		remove.MessageID, remove.Change, remove.Content = schemas.MessageIDAt(at+200+i), schemas.ChangeDelete, ""
		if i%2 == 0 {
			m.ExpiresAt = at + 1000
		} else {
			gone = append(gone, remove)
		}
		all = append(all, m, edit)
	}
	if err := s.Append(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if n, err := s.DeleteExpired(t.Context(), at+1000); err != nil || n != 10 {
		t.Fatalf("%d messages expired, error %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"swordfish", "and more", "marlin"} {
		if n := bytes.Count(file, []byte(word)); n != 0 {
			t.Errorf("the file contains %q %d times", word, n)
		}
	}
}
