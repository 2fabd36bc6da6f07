package sqlite_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"roost/schemas"
	"roost/workers"
	"roost/workers/historytest"
	"roost/workers/sqlite"
)

var _ workers.Store = (*sqlite.Store)(nil)

// childEnv names the file to which a copy of the test binary appends.
const childEnv = "ROOST_TEST_SQLITE_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		os.Exit(child(path))
	}
	goleak.VerifyTestMain(m)
}

func TestContract(t *testing.T) {
	historytest.Run(t, func(t *testing.T) workers.Store {
		return openStore(t, filepath.Join(t.TempDir(), "history.db"))
	})
}

func openStore(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var (
	from = schemas.Now() - 60_000
	chat = schemas.ChatWith("alice", schemas.Participant{User: "bob"})
)

func message(n int) schemas.Message {
	id := schemas.MessageIDAt(from)[:10] + schemas.MessageID(fmt.Sprintf("%016d", n))
	return schemas.Message{MessageID: id, SenderID: "alice", ReceiverID: "bob", Content: "hello", Timestamp: from}
}

func count(t *testing.T, s *sqlite.Store) int {
	t.Helper()
	page, err := s.Page(t.Context(), chat, 0, schemas.Now(), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return len(page)
}

// startChild starts a second process. It appends messages 1000, 1001, … to the file, one at a
// time, and prints a line after each.
func startChild(t *testing.T, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(stdout)
}

func child(path string) int {
	s, err := sqlite.Open(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for n := 1000; ; n++ {
		if err := s.Append(noDeadline, []schemas.Message{message(n)}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if _, err := fmt.Println(n); err != nil {
			return 0 // the parent has closed the pipe
		}
	}
}
