package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"roost/schemas"
	"roost/workers/sqlite"
)

var noDeadline = context.Background()

func TestReopenKeepsMessages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	for want := 1; want <= 3; want++ {
		s, err := sqlite.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Append(t.Context(), []schemas.Message{message(want)}); err != nil {
			t.Fatal(err)
		}
		if got := count(t, s); got != want {
			t.Fatalf("opened %d times: %d messages", want, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Close did not copy the log into the file: %v", err)
	}
}

func TestTwoStoresOnOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	a, b := openStore(t, path), openStore(t, path)
	var appends errgroup.Group
	for i, s := range []*sqlite.Store{a, b} {
		appends.Go(func() error {
			for n := range 50 {
				if err := s.Append(noDeadline, []schemas.Message{message(n), message(100*(i+1) + n)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := appends.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := count(t, a); got != 150 || count(t, b) != got {
		t.Fatalf("one store sees %d messages, the other %d, want 150", got, count(t, b))
	}
}

// TestOpenAtOnce: several handles create the schema of one new file at the same time.
func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	var opens errgroup.Group
	for range 8 {
		opens.Go(func() error {
			s, err := sqlite.Open(path)
			if err != nil {
				return err
			}
			return errors.Join(s.Ping(noDeadline), s.Close())
		})
	}
	if err := opens.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestSecondProcess writes to the file of another process and kills that process. The file has
// every message that the other process acknowledged.
func TestSecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s := openStore(t, path)
	cmd, lines := startChild(t, path)
	acknowledged := 0
	for n := 0; n < 30 && lines.Scan(); n++ {
		acknowledged++
		if err := s.Append(t.Context(), []schemas.Message{message(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		acknowledged++
	}
	_ = cmd.Wait() // it returns that the process was killed
	if acknowledged < 30 {
		t.Fatalf("the second process appended only %d messages", acknowledged)
	}
	if got, want := count(t, s), 30+acknowledged; got != want && got != want+1 { // one may be on the disk, but not acknowledged yet
		t.Fatalf("%d messages, want %d", got, want)
	}
}

func TestCloseTwice(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "history.db"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("Ping of a closed store: no error")
	}
	if err := s.Append(t.Context(), []schemas.Message{message(1)}); err == nil {
		t.Error("Append to a closed store: no error")
	}
}

func TestFileIsReadableToItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s := openStore(t, path)
	if err := s.Append(t.Context(), []schemas.Message{message(1)}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(name), info.Mode())
		}
	}
}

func TestPathsWithSigns(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a b.db", "100%.db", "q?mode=memory.db", "hash#1.db", "ünï🦉.db", "a&b=c+d;.db", "%41.db"} {
		s := openStore(t, filepath.Join(dir, name))
		if err := s.Append(t.Context(), []schemas.Message{message(1)}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("the file is not at its path: %v", err)
		}
	}
	t.Chdir(dir)
	if got := count(t, openStore(t, "hash#1.db")); got != 1 {
		t.Errorf("the file at the relative path has %d messages", got)
	}
}
