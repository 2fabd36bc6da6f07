package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gofrs/flock"

	"roost/client"
	"roost/schemas"
	"roost/streams"
)

// TestCannotStart: one line that says what to do, exit code 2, no stack trace.
func TestCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	locked := t.TempDir()
	lock := flock.New(filepath.Join(locked, "LOCK"))
	if got, err := lock.TryLock(); err != nil || !got {
		t.Fatalf("the lock: %t, %v", got, err)
	}
	t.Cleanup(func() { _ = lock.Unlock() })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("not: [yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	unknown := filepath.Join(t.TempDir(), "unknown.yaml")
	if err := os.WriteFile(unknown, []byte("htpp: 127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := t.TempDir()
	if err := os.WriteFile(filepath.Join(open, "token.key"), make([]byte, 32), 0o644); err != nil {
		t.Fatal(err)
	}
	short := t.TempDir()
	if err := os.WriteFile(filepath.Join(short, "token.key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	notSQLite := t.TempDir()
	if err := os.WriteFile(filepath.Join(notSQLite, "history.db"), []byte(strings.Repeat("nonsense", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	free := []string{"--http", "127.0.0.1:0"}
	serve := func(args ...string) []string { return append(append([]string{"serve"}, free...), args...) }
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"data directory in use", serve("--data-dir", locked), "another --data-dir"},
		{"data directory is a file", serve("--data-dir", file), "--data-dir"},
		{"port taken", []string{"serve", "--data-dir", t.TempDir(), "--http", taken.Addr().String()}, "another --http"},
		{"address that is none", []string{"serve", "--data-dir", t.TempDir(), "--http", "nowhere"}, "--http"},
		{"unknown flag", serve("--bogus"), "--bogus"},
		{"bad value", serve("--limits", "maybe"), "--limits"},
		{"origin with a path", serve("--data-dir", t.TempDir(), "--allowed-origins", "https://a.example,https://b.example/chat"), `leave out "/chat"`},
		{"gateway with an origin that is none", []string{"gateway", "--allowed-origins", "null"}, "--allowed-origins"},
		{"bad number", serve("--max-devices", "many"), "--max-devices"},
		{"number out of range", serve("--data-dir", t.TempDir(), "--max-devices", "0"), "--max-devices"},
		{"a proxy by name", serve("--data-dir", t.TempDir(), "--trusted-proxies", "10.0.0.0/8,proxy.example"), "--trusted-proxies"},
		{"certificate without a key", serve("--data-dir", t.TempDir(), "--tls-cert", file), "--tls-key"},
		{"certificate that is none", serve("--data-dir", t.TempDir(), "--tls-cert", file, "--tls-key", file), "--tls-cert"},
		{"ACME for no host name", serve("--data-dir", t.TempDir(), "--acme", "*.example.com"), "--acme"},
		{"PROXY headers of nobody", serve("--data-dir", t.TempDir(), "--proxy-protocol"), "--trusted-proxies"},
		{"more connections than files", serve("--data-dir", t.TempDir(), "--max-connections", "2000000000"), "ulimit -n"},
		{"too many members", serve("--data-dir", t.TempDir(), "--max-group-members", "8193"), "--max-group-members"},
		{"too many copies", serve("--data-dir", t.TempDir(), "--group-push-limit", "2048", "--max-devices", "5"), "--max-devices"},
		{"inbox age out of range", serve("--data-dir", t.TempDir(), "--inbox-max-age", "9000h"), "inbox-max-age"},
		{"no command", nil, "expected"},
		{"configuration is no YAML", append([]string{"--config", file}, serve()...), "YAML"},
		{"unknown setting", append([]string{"--config", unknown}, serve()...), "htpp"},
		{"configuration is missing", append([]string{"--config", "/nowhere/roost.yaml"}, serve()...), "/nowhere/roost.yaml"},
		{"key that others can read", serve("--data-dir", open), "chmod 600"},
		{"key that is too short", serve("--data-dir", short), "token.key"},
		{"key set that is missing", serve("--data-dir", t.TempDir(), "--auth-jwks", "/nowhere/jwks", "--auth-issuer", "i", "--auth-audience", "a"), "/nowhere/jwks"},
		{"issuer without key set", serve("--data-dir", t.TempDir(), "--auth-issuer", "i"), "--auth-jwks"},
		{"key set without audience", serve("--data-dir", t.TempDir(), "--auth-jwks", file), "--auth-audience"},
		{"history that is no database", serve("--data-dir", notSQLite), "history.db"},
		{"gateway without a secret", []string{"gateway"}, "--auth-secret"},
		{"gateway without NATS", []string{"gateway", "--http", "127.0.0.1:0", "--auth-secret", filepath.Join(short, "x"), "--nats", "nats://" + freeAddress(t)}, "NATS"},
		{"worker without MongoDB", []string{"worker"}, "--mongo"},
		{"nkey that is missing", []string{"gateway", "--http", "127.0.0.1:0", "--auth-secret", filepath.Join(short, "x"), "--nkey", "/nowhere/key"}, "/nowhere/key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, stderr, code := output(t, roost(t, c.args...))
			if code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			line, found := "", 0
			for _, l := range strings.Split(strings.TrimSpace(stderr), "\n") {
				if strings.HasPrefix(l, "roost: ") {
					line = l
					found++
				}
			}
			if found != 1 || !strings.Contains(line, c.says) || strings.Contains(stderr, "goroutine ") {
				t.Errorf("it said:\n%s\nwant one line with %q", stderr, c.says)
			}
		})
	}
}

func TestVersionAndHelp(t *testing.T) {
	stdout, _, code := output(t, roost(t, "version"))
	if code != exitOK || !strings.HasPrefix(stdout, "roost ") {
		t.Errorf("version: %d %q", code, stdout)
	}
	stdout, _, code = output(t, roost(t, "serve", "--help"))
	if code != exitOK || !strings.Contains(stdout, "--data-dir") || !strings.Contains(stdout, "ROOST_DATA_DIR") {
		t.Errorf("help: %d %q", code, stdout)
	}
}

// TestConfigPrecedence: a flag beats the environment, which beats the file, which
// beats the default.
func TestConfigPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "roost.yaml")
	content := "max-devices: 5\nheartbeat: 11s\nsends-per-second: 7\nallowed-origins: [a.example, b.example]\nmongo: mongodb://me:secret@db/chat\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := roost(t, "--config", file, "config", "--max-devices", "7")
	cmd.Env = append(cmd.Env, "ROOST_MAX_DEVICES=6", "ROOST_HEARTBEAT=12s")
	stdout, stderr, code := output(t, cmd)
	if code != exitOK {
		t.Fatalf("%d %s", code, stderr)
	}
	for _, line := range []string{"max-devices: 7", "heartbeat: 12s", "sends-per-second: 7", "partitions: 0",
		"    - a.example\n    - b.example", "mongo: mongodb://me:xxxxx@db/chat"} {
		if !strings.Contains(stdout, line+"\n") {
			t.Errorf("the configuration lacks %q:\n%s", line, stdout)
		}
	}
	if strings.Contains(stdout, "secret") {
		t.Error("the password is shown")
	}
	// What config prints can be read back.
	printed := filepath.Join(t.TempDir(), "printed.yaml")
	if err := os.WriteFile(printed, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	again, stderr, code := output(t, roost(t, "--config", printed, "config"))
	if code != exitOK || again != stdout {
		t.Errorf("read back: %d %s\n%s", code, stderr, again)
	}
}

func TestStopsInOrder(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, "")
	alice, bob := join(t, s, dir, "alice"), join(t, s, dir, "bob")
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	accepted, err := alice.Send(ctx, schemas.Participant{User: "bob"}, "before the restart", nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := next[client.Message](t, bob); m.MessageID != accepted.MessageID {
		t.Errorf("got %+v", m)
	}
	s.stop()
	if end := next[client.Disconnected](t, alice); end.Err == nil {
		t.Error("no reason for the end of the connection")
	}
	serve(t, dir, s.address())
	next[client.Connected](t, alice)
	// The message was not acknowledged, so it is repeated, and not shown again.
	if _, err := alice.Send(ctx, schemas.Participant{User: "bob"}, "after it", nil); err != nil {
		t.Fatal(err)
	}
	if m := next[client.Message](t, bob); m.Content != "after it" {
		t.Errorf("got %+v", m)
	}
	closeAll([]*client.Client{alice, bob})
}

// next waits for an event of a type.
func next[E client.Event](t *testing.T, c *client.Client) E {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for {
		ev, err := c.Receive(ctx)
		if err != nil {
			var none E
			t.Fatalf("waiting for %T: %v", none, err)
		}
		if e, ok := ev.(E); ok {
			return e
		}
	}
}

// ready reads /readyz.
func (s *server) ready() (int, schemas.Readiness) {
	s.t.Helper()
	status, body := s.get("/readyz", "")
	var a schemas.Answer
	var r schemas.Readiness
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		s.t.Fatalf("%s: %v", body, err)
	}
	if err := json.Unmarshal(a.Data, &r); err != nil {
		s.t.Fatalf("%s: %v", body, err)
	}
	return status, r
}

// TestDefaultsOfTheProtocol: the defaults are the limits of docs/protocol.md.
func TestDefaultsOfTheProtocol(t *testing.T) {
	stdout, stderr, code := output(t, roost(t, "config"))
	if code != exitOK {
		t.Fatalf("%d %s", code, stderr)
	}
	for name, want := range map[string]any{
		"max-devices": 3, "max-group-members": schemas.DefaultGroupMembers, "device-max-idle": "720h0m0s",
		"inbox-max-age": streams.DefaultInboxMaxAge, "inbox-max-messages": streams.DefaultInboxMaxMessages,
		"heartbeat": "30s", "ack-timeout": "30s", "limits": `"on"`,
		"connections-per-user": 12, "connections-per-address": 1000,
		"frames-per-second": 1000, "sends-per-second": 50, "logins-per-second": 5,
	} {
		if line := fmt.Sprintf("%s: %v\n", name, want); !strings.Contains(stdout, line) {
			t.Errorf("the configuration lacks %q", line)
		}
	}
	if t.Failed() {
		t.Log(stdout)
	}
}

// TestLastSeenAfterARestart: when somebody was connected last is known to the
// millisecond, whichever process it was connected to.
func TestLastSeenAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, "127.0.0.1:0")
	before := schemas.Now()
	_ = dialRaw(t, s, token(t, dir, "alice")).ws.CloseNow()
	lastSeen := func() schemas.Timestamp {
		status, err := (&client.API{URL: s.url, Token: token(t, dir, "bob")}).Status(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		if status.ConnectionState == "online" {
			return 0
		}
		return status.LastActiveTime
	}
	eventually(t, "alice is away", func() bool { return lastSeen() > before })
	want := lastSeen()
	s.stop()
	s = serve(t, dir, "127.0.0.1:0")
	if got := lastSeen(); got != want {
		t.Errorf("alice was connected until %d, not until %d", got, want)
	}
	s.stop()
}
