package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"roost/client"
	"roost/gateway/auth"
	"roost/schemas"
)

// asRoost in the environment makes the test binary be roost: so the tests run
// and kill real processes, with the race detector in them.
const asRoost = "ROOST_TEST_AS_ROOST"

// timeout bounds what a test waits for; it only passes in full on a fault.
const timeout = 60 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asRoost) != "" {
		os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// roost prepares the command; it does not start it.
func roost(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = t.TempDir()
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ROOST_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, asRoost+"=1")
	return cmd
}

// output runs a command to its end and returns what it printed and its exit
// code.
func output(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(timeout, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Wait() // the exit code says it all
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// server is a running roost.
type server struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
	log *logBuffer

	exited chan struct{} // closed once the process has ended
}

// logBuffer keeps what a process logs, and tells of the line that names its URL.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	url  chan string
	done bool
}

var urlLine = regexp.MustCompile(`serves.* url=(https?://\S+)`)

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(p)
	if m := urlLine.FindSubmatch(b.text.Bytes()); m != nil && !b.done {
		b.done = true
		b.url <- string(m[1])
	}
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// start runs roost and waits until it serves.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	return startCommand(t, roost(t, args...))
}

// startCommand runs a prepared command of roost and waits until it serves.
func startCommand(t *testing.T, cmd *exec.Cmd) *server {
	t.Helper()
	s := &server{t: t, cmd: cmd, log: &logBuffer{url: make(chan string, 1)}}
	s.cmd.Stderr = s.log
	s.cmd.Stdout = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = s.cmd.Wait() // the exit code is in ProcessState
	}()
	t.Cleanup(func() {
		s.kill()
		<-exited
		if text := s.log.String(); t.Failed() || strings.Contains(text, "DATA RACE") {
			t.Errorf("the process logged:\n%s", tail(text, 8000))
		}
	})
	s.exited = exited
	select {
	case s.url = <-s.log.url:
	case <-exited:
		t.Fatalf("roost %v ended before it served", cmd.Args)
	case <-time.After(timeout):
		t.Fatalf("roost %v does not serve", cmd.Args)
	}
	return s
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "…" + s[len(s)-n:]
}

// kill is kill -9. It may be called after the end.
func (s *server) kill() { _ = s.cmd.Process.Kill() }

// stop is SIGTERM; it waits for the end and checks that it was in order and in
// time.
func (s *server) stop() {
	s.t.Helper()
	begin := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(timeout):
		s.t.Fatal("the process does not stop")
	}
	if took := time.Since(begin); took > 20*time.Second {
		s.t.Errorf("stopping took %v", took)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != exitOK {
		s.t.Errorf("it ended with %d:\n%s", code, tail(s.log.String(), 4000))
	}
}

// serve starts `roost serve` on a data directory and a free port, or on address.
func serve(t *testing.T, dir, address string, args ...string) *server {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	return start(t, append([]string{"serve", "--data-dir", dir, "--http", address, "--limits", "off", "--min-free-disk", "0"}, args...)...)
}

func (s *server) address() string { return strings.TrimPrefix(s.url, "http://") }

// token logs a user in with the server's own secret.
func token(t *testing.T, dir string, u schemas.UserID) string {
	t.Helper()
	secret, err := auth.LoadSecret(filepath.Join(dir, "token.key"))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.NewTokens(secret)
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Issue(u)
	if err != nil {
		t.Fatal(err)
	}
	return token.Token
}

// join connects a new device of a user.
func join(t *testing.T, s *server, dir string, u schemas.UserID) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c, err := client.Connect(ctx, client.Options{URL: s.url, Token: token(t, dir, u), DeviceName: "test",
		Store: &client.MemoryStore{}, BackoffMin: 20 * time.Millisecond, BackoffMax: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// get reads a path of the server.
func (s *server) get(path, token string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// eventually waits, bounded, for a state of another process.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("in vain waited for: %s", what)
}
