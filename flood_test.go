package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roost/client"
)

// withFileLimit makes a command run with so few open files.
func withFileLimit(cmd *exec.Cmd, files int) *exec.Cmd {
	limited := exec.Command("/bin/sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files)}, cmd.Args...)...)
	limited.Dir, limited.Env = cmd.Dir, cmd.Env
	return limited
}

// flood opens connections from some loopback addresses, each of which asks for more than
// it reads, and returns those that could be opened.
func flood(t *testing.T, address string, n int) (open []net.Conn) {
	t.Helper()
	requests := []byte(strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 50))
	for i := range n {
		d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%4))}}
		c, err := d.Dial("tcp", address)
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetWriteDeadline(time.Now().Add(timeout))
		_, _ = c.Write(requests) // a refused connection is closed
		open = append(open, c)
	}
	return open
}

// TestConnectionsLeaveFiles: clients who open as many connections as they can, and do
// not read, take no files from streams and databases. Who is connected goes on.
func TestConnectionsLeaveFiles(t *testing.T) {
	const files = 400
	const reserve = 256 // of package cmd, for streams and databases
	dir := t.TempDir()
	s := startCommand(t, withFileLimit(roost(t, "serve", "--data-dir", dir, "--http", "127.0.0.1:0", "--limits", "off", "--min-free-disk", "0"), files))
	alice, bob := join(t, s, dir, "alice"), join(t, s, dir, "bob")
	open := flood(t, s.address(), 2*files)
	for i := range 50 {
		accepted := send(t, alice, "bob", fmt.Sprint("under load ", i))
		if m := next[client.Message](t, bob); m.MessageID != accepted.MessageID || m.Ack() != nil {
			t.Fatalf("got %+v", m)
		}
	}
	used, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(s.cmd.Process.Pid), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	if free := files - len(used); free < reserve/2 {
		t.Errorf("%d of %d files are left while %d connections press in", free, files, len(open))
	}
	if !strings.Contains(s.log.String(), "bound=process") {
		t.Error("no warning says that connections are refused")
	}
	for _, c := range open {
		_ = c.Close()
	}
	eventually(t, "a place for a new connection", func() bool {
		c, err := net.DialTimeout("tcp", s.address(), time.Second)
		if err != nil {
			return false
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Second))
		_, err = c.Write([]byte("GET /healthz HTTP/1.0\r\n\r\n"))
		answer := make([]byte, 12)
		n, _ := c.Read(answer)
		return err == nil && string(answer[:n]) == "HTTP/1.0 200"
	})
	closeAll([]*client.Client{alice, bob})
	s.stop()
}
