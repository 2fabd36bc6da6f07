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
	readTimeout = 5 * time.Second // for the lock of a process that recovers the log after a crash
	lockTimeout = 30 * time.Second

	// batchSize bounds a transaction, so no call waits long for the one connection
	// that writes.
	batchSize = 1000
)

// Store keeps history in a SQLite file. It implements workers.Store.
type Store struct {
	writer *sql.DB // one connection: SQLite has one writer at a time, and a queue here respects ctx
	reader *sql.DB
	now    func() schemas.Timestamp
}

// Open opens the history file at path, and creates it if it does not exist. The
// directory must exist. Open refuses a file that is not a SQLite database, belongs to
// another program, or was written by a newer Roost. Any number of Stores, in any number
// of processes, may open the same file.
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

// create creates the file, because SQLite itself would let every user of the machine
// read it. It must not open an existing file: closing that would release the locks that
// this process holds on it, see https://www.sqlite.org/howtocorrupt.html, section 2.2.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err // the message of Open names the path
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
	query.Set("_error_rc", "1") // without it, a code may come with the text of another error
	name := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// Close closes the connections. It may be called again.
func (s *Store) Close() error {
	// The last connection to close copies the log into the file. Only a writer can.
	if err := errors.Join(s.reader.Close(), s.writer.Close()); err != nil {
		return fmt.Errorf("failed to close the history file: %w", err)
	}
	return nil
}

// Ping implements workers.Store. It reads from the file.
func (s *Store) Ping(ctx context.Context) error {
	var n int
	err := s.reader.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM messages LIMIT 1)").Scan(&n)
	if err != nil {
		return fmt.Errorf("failed to read the history file: %w", err)
	}
	return nil
}

// write runs do in a transaction that holds the write lock from its start. A transaction
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
	defer func() { _ = tx.Rollback() }() // it does nothing after Commit
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// untilUnlocked retries do while another process holds the lock that it needs, for at
// most lockTimeout. SQLite's own wait tries only every 100 ms after a while. So it may
// never find the moment between two transactions of a busy process.
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

// oldest returns the timestamp of the oldest message that is not expired at now.
func oldest(now schemas.Timestamp) schemas.Timestamp {
	return schemas.TimestampOf(now.Time().Add(-schemas.HistoryDays * 24 * time.Hour))
}
