package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestChatCommand chats through pipes: a command of the binary, with its flags, against
// a server of the binary. Package chat tests the rest.
func TestChatCommand(t *testing.T) {
	s := serve(t, t.TempDir(), "")
	chats := func(stdin string, args ...string) (stdout, stderr string, code int) {
		t.Helper()
		cmd := roost(t, append([]string{"chat", "--server", s.url, "--state", filepath.Join(t.TempDir(), "state")}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		cmd.Env = append(cmd.Env, "ROOST_PASSWORD=correct horse")
		return output(t, cmd)
	}
	stdout, stderr, code := chats("a note\n", "--user", "alice", "--register", "--to", "alice")
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "✓ a note\n") {
		t.Errorf("it ended with %d:\n%s%s", code, stdout, stderr)
	}
	if _, stderr, code = chats("", "--user", "g-x"); code != exitUsage || !strings.HasPrefix(stderr, "roost: --user: ") {
		t.Errorf("a user that is none: %d\n%s", code, stderr)
	}
	if _, stderr, code = chats("", "--user", "bob"); code != exitFault || !strings.Contains(stderr, "--register") {
		t.Errorf("an account that is not there: %d\n%s", code, stderr)
	}
}
