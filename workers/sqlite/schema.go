package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// applicationID identifies the file as a history of Roost. SQLite stores it in the header
// of the file. It is "Roos" in ASCII.
const applicationID = 0x526f6f73

// migrations create the schema. The file's user_version is the number of migrations that
// it has. A released migration never changes; a change of the schema is a further one.
//
// The table messages is a plain rowid table. Messages arrive in the order of time, so
// SQLite appends them and their ids at the end. A table clustered by chat would write a
// page per chat. The index messages_by_chat also holds the timestamp, so SQLite skips
// messages outside the bounds of a page within the index.
//
// The table participants serves Chats. Two indexes on messages, (sender_id, chat) and
// (receiver_id, chat), would also serve it. But they would cost two entries at random
// places per message, about half of the write throughput; a pair in participants is
// written once. The row of a user may outlive the user's last message in a group with
// other messages, so Chats also checks for a message.
//
// The table updates has the newest update of each (target, sender, change) in a chat. It
// is clustered by target, because most targets are among the newest messages. The column
// kept_until is the last millisecond of the target, if the target is known.
var migrations = []string{`
CREATE TABLE messages (
	message_id           TEXT    NOT NULL PRIMARY KEY,
	chat                 TEXT    NOT NULL,
	sender_id            TEXT    NOT NULL,
	receiver_id          TEXT    NOT NULL,
	group_id             TEXT    NOT NULL,
	content              TEXT    NOT NULL,
	timestamp            INTEGER NOT NULL,
	reply_to             TEXT    NOT NULL,
	sender_device_id     TEXT    NOT NULL,
	message_id_by_client INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_by_chat ON messages (chat, message_id, timestamp);
CREATE INDEX messages_by_age ON messages (timestamp);
CREATE TABLE participants (
	user_id TEXT NOT NULL,
	chat    TEXT NOT NULL,
	PRIMARY KEY (user_id, chat)
) STRICT, WITHOUT ROWID;
CREATE INDEX participants_by_chat ON participants (chat);
`, `
ALTER TABLE messages ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX messages_by_end ON messages (expires_at) WHERE expires_at > 0;
CREATE TABLE updates (
	target_message_id    TEXT    NOT NULL,
	chat                 TEXT    NOT NULL,
	sender_id            TEXT    NOT NULL,
	change               TEXT    NOT NULL,
	message_id           TEXT    NOT NULL,
	receiver_id          TEXT    NOT NULL,
	group_id             TEXT    NOT NULL,
	content              TEXT    NOT NULL,
	timestamp            INTEGER NOT NULL,
	sender_device_id     TEXT    NOT NULL,
	message_id_by_client INTEGER NOT NULL,
	kept_until           INTEGER NOT NULL,
	PRIMARY KEY (target_message_id, chat, sender_id, change)
) STRICT, WITHOUT ROWID;
CREATE INDEX updates_by_chat ON updates (chat, target_message_id);
CREATE INDEX updates_by_end ON updates (kept_until);
`}

var errNoDatabase = errors.New("it is not a SQLite database, or it is damaged")

// prepare migrates the file to the newest schema, or returns why the file cannot be used.
// It does not change a file that it refuses.
func prepare(ctx context.Context, db *sql.DB) error {
	var mode string
	err := untilUnlocked(ctx, func() error {
		if _, err := examine(ctx, db); err != nil {
			return err
		}
		// The file keeps this mode.
		return explain(db.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode))
	})
	if err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("its file system does not support a write-ahead log (journal_mode is %s)", mode)
	}
	return inTx(ctx, db, func(tx *sql.Tx) error { return migrate(ctx, tx) })
}

// examine returns the version of the schema in the file, 0 for a new one.
func examine(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (version int, err error) {
	var application, tables int
	err = db.QueryRowContext(ctx, `
		SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_user_version, pragma_application_id`).Scan(&version, &application, &tables)
	switch {
	case err != nil:
		return 0, explain(err)
	case tables == 0 && version == 0:
		return 0, nil
	case application != applicationID:
		return 0, errors.New("it is the database of another program")
	case version > len(migrations):
		return 0, fmt.Errorf("a newer version wrote it (schema %d, this version knows %d)", version, len(migrations))
	}
	return version, nil
}

// migrate reads the version again, because another process may have migrated the file.
func migrate(ctx context.Context, tx *sql.Tx) error {
	version, err := examine(ctx, tx)
	if err != nil || version == len(migrations) {
		return err
	}
	for _, m := range migrations[version:] {
		if _, err := tx.ExecContext(ctx, m); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(migrations)))
	return err
}

// explain adds errNoDatabase to an error of a file that SQLite cannot read.
func explain(err error) error {
	if isCode(err, lib.SQLITE_NOTADB) || isCode(err, lib.SQLITE_CORRUPT) {
		return fmt.Errorf("%w: %w", errNoDatabase, err)
	}
	return err
}

// isCode reports whether the primary result code of err is code.
func isCode(err error, code int) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == code
}
