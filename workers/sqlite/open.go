package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
	lib "modernc.org/sqlite/lib"

	"roost/schemas"
)

const (
	readers     = 4
	readTimeout = 5 * time.Second // for the lock of a process that puts the log in order after a crash
	lockTimeout = 30 * time.Second

	// batchSize bounds a transaction, so that nobody waits long for the one
	// connection that writes.
	batchSize = 1000
)

// Store is history in a SQLite file. It satisfies workers.Store.
type Store struct {
	writer *sql.DB // one connection: SQLite has one writer at a time, and a queue here respects ctx
	reader *sql.DB
	now    func() schemas.Timestamp
}

// Open opens the history in the file at path, and creates it where there is
// none; its directory must be there. It refuses a file that is no SQLite
// database, belongs to another program, or was written by a newer Roost. Any
// number of Stores, in any number of processes, may have one file open.
func Open(path string) (*Store, error) {
	s, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("failed to open the history file %s: %w", path, err)
	}
	return s, nil
}

func open(path string) (*Store, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	writer, err := connect(path, 1, url.Values{"_txlock": {"immediate"}, "_busy_timeout": {"0"}, "_pragma": {"secure_delete(1)"}})
	if err != nil {
		return nil, err
	}
	if err := prepare(context.Background(), writer); err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	reader, err := connect(path, readers, url.Values{"_query_only": {"1"}, "_busy_timeout": {strconv.FormatInt(readTimeout.Milliseconds(), 10)}})
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	return &Store{writer: writer, reader: reader, now: schemas.Now}, nil
}

// create makes the file, because SQLite itself would make it readable to all.
// It must not open a file that is there: closing it again would drop the locks
// that this process holds on it, see https://www.sqlite.org/howtocorrupt.html,
// section 2.2.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err // the path is in the message already
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func connect(path string, connections int, query url.Values) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	query.Set("mode", "rw")
	query.Set("_synchronous", "FULL")
	query.Set("_error_rc", "1") // no text of another error beside a code
	name := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// Close ends the store. It may be called again.
func (s *Store) Close() error {
	// The last connection to close folds the log into the file, which only a
	// writer can.
	if err := errors.Join(s.reader.Close(), s.writer.Close()); err != nil {
		return fmt.Errorf("failed to close the history file: %w", err)
	}
	return nil
}

// Ping says whether the file can be read.
func (s *Store) Ping(ctx context.Context) error {
	var n int
	err := s.reader.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM messages LIMIT 1)").Scan(&n)
	if err != nil {
		return fmt.Errorf("failed to read the history file: %w", err)
	}
	return nil
}

// write runs do in a transaction that holds the write lock from its start: one
// that begins as a reader could not wait for the lock later.
func (s *Store) write(ctx context.Context, do func(tx *sql.Tx) error) error {
	return inTx(ctx, s.writer, do)
}

func inTx(ctx context.Context, db *sql.DB, do func(tx *sql.Tx) error) error {
	var tx *sql.Tx
	err := untilUnlocked(ctx, func() (err error) {
		tx, err = db.BeginTx(ctx, nil)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// untilUnlocked runs do until nobody else holds the lock that it needs, for
// lockTimeout at most. SQLite's own waiting asks every 100 ms in the end, and so
// may never meet the moment between two transactions of a busy neighbour.
func untilUnlocked(ctx context.Context, do func() error) error {
	for start := time.Now(); ; {
		err := do()
		if !isCode(err, lib.SQLITE_BUSY) || time.Since(start) > lockTimeout {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond / 4):
		}
	}
}

// oldest is the timestamp of the oldest message that is not expired at now.
func oldest(now schemas.Timestamp) schemas.Timestamp {
	return schemas.TimestampOf(now.Time().Add(-schemas.HistoryDays * 24 * time.Hour))
}
