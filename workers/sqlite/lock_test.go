package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"roost/schemas"
)

// TestLockOfAnotherHandle: while another handle holds the write lock, Append returns when ctx
// ends, and does not wait for the lock timeout.
func TestLockOfAnotherHandle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	var stores [2]*Store
	for i := range stores {
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		stores[i] = s
	}
	m := []schemas.Message{{MessageID: schemas.MessageIDAt(1), SenderID: "alice", ReceiverID: "bob", Content: "x", Timestamp: 1}}
	err := stores[0].write(t.Context(), func(*sql.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := stores[1].Append(ctx, m); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) >= lockTimeout {
			t.Errorf("Append against a lock: error %v after %v", err, time.Since(start))
		}
		_, err := stores[1].Page(t.Context(), m[0].Chat(), 0, 2, 1) // reads still work
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := stores[1].Append(t.Context(), m); err != nil {
		t.Errorf("Append after the lock: %v", err)
	}
}
