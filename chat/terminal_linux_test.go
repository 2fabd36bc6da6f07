//go:build linux

package chat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/term"

	"roost/schemas"
)

// openTerminal makes a pseudo-terminal: what is typed at keyboard is read from it.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	raw, err := keyboard.SyscallConn() // Fd would keep Close from ending a Read
	if err != nil {
		t.Fatal(err)
	}
	var number, locked int32
	var errno, errno2 syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCSPTLCK, uintptr(unsafe.Pointer(&locked)))
		_, _, errno2 = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCGPTN, uintptr(unsafe.Pointer(&number)))
	})
	if err != nil || errno != 0 || errno2 != 0 {
		t.Skipf("no pseudo-terminals here: %v, %v, %v", err, errno, errno2)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return keyboard, terminal
}

// keys types without an end of line.
func (p *chatter) keys(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, text); err != nil {
		p.t.Fatal(err)
	}
}

// escape is what moves the cursor, clears and colours.
var escape = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]|\r`)

// startTerminalChat is startChat with a user at a terminal.
func startTerminalChat(t *testing.T, url, user string) *chatter {
	t.Helper()
	keyboard, terminal := openTerminal(t)
	opts := Options{Server: url, User: user, Password: "correct horse", Register: true, Device: "laptop",
		State: filepath.Join(t.TempDir(), "state")}
	ctx, cancel := context.WithCancel(t.Context())
	p := &chatter{t: t, stdin: keyboard, enter: "\r", end: cancel, done: make(chan error, 1), change: make(chan struct{}, 1)}
	shown, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(shown)
		buf := make([]byte, 4096)
		for {
			n, err := keyboard.Read(buf)
			_, _ = p.Write(escape.ReplaceAll(buf[:n], nil))
			if err != nil {
				return
			}
		}
	}()
	go func() {
		defer close(finished)
		p.done <- Run(ctx, opts, terminal, terminal)
	}()
	t.Cleanup(func() {
		cancel()
		<-finished
		_ = keyboard.Close() // hangs the terminal up, which ends the reader of lines
		<-shown
		if t.Failed() {
			t.Logf("%s saw:\n%s", user, p.saw())
		}
	})
	return p
}

// Messages that the open chat shows are read, and typing is reported, if the user is at a
// terminal.
func TestReadAndTyping(t *testing.T) {
	srv := chatServer(t)
	srv.Account("carol", "correct horse")
	bob := startTerminalChat(t, srv.URL, "bob")
	bob.sees(`.*You are bob on laptop.*`)
	alice := startChat(t, srv.URL, "alice", func(o *Options) { o.To = "bob" })
	alice.types("one", "two")
	alice.sees(`✓✓ two`)
	bob.sees(`.*alice: two`)
	bob.types("/to carol")
	bob.sees(`.*You write to carol\.`)
	bob.types("/to alice")
	alice.sees(`● two`) // and not before
	alice.types("three")
	alice.sees(`● three`)

	alice.types("/to carol", "/to bob")
	bob.keys("so")
	alice.sees(`bob is typing \.\.\.`)
	bob.types(" gladly")
	alice.sees(`\[\d\d:\d\d\] bob: so gladly`)
	bob.sees(`.*✓✓ so gladly`)
	bob.types("/to zoe", "/blocks")
	bob.sees(`.*You block no user\.`)
	bob.types("Anyone?")
	bob.sees(`.*✗ Anyone\?: not sent: .*`)
	if text := bob.saw(); strings.Contains(text, "The server says") {
		t.Errorf("bob saw:\n%s", text)
	}
	alice.types("/quit")
	if err := alice.ends(); err != nil {
		t.Errorf("alice: %v", err)
	}
	if text := alice.saw(); strings.Contains(text, "● one") {
		t.Errorf("alice saw:\n%s", text)
	}
}

// The same in a group: all members see it.
func TestReadAndTypingInAGroup(t *testing.T) {
	srv := chatServer(t)
	bob := startTerminalChat(t, srv.URL, "bob")
	bob.sees(`.*You are bob on laptop.*`)
	alice := startChat(t, srv.URL, "alice", func(*Options) {})
	alice.types("/group create team", "/group add bob", "one", "two")
	alice.sees(`✓✓ two`)
	bob.sees(`.*alice in team: two`)
	bob.types("/group open team")
	alice.sees(`● two`)
	bob.keys("so")
	alice.sees(`bob is typing in team \.\.\.`)
	bob.types(" gladly")
	alice.sees(`\[\d\d:\d\d\] bob in team: so gladly`)
	bob.types("/group leave")
	bob.sees(`.*you left team`)
	bob.types("Still here?") // the keys tell the group, which is no error of its own
	bob.sees(`.*✗ Still here\?: not sent: .*`)
	bob.types("/blocks")
	if text := bob.until(`.*You block no user\.`); strings.Contains(bob.saw(), "The server says") {
		t.Errorf("bob saw:\n%s", text)
	}
	alice.types("/quit")
	if err := alice.ends(); err != nil {
		t.Errorf("alice: %v", err)
	}
}

// A paste that the terminal marks is typed as any other line.
func TestPaste(t *testing.T) {
	srv := chatServer(t)
	srv.Account("alice", "correct horse")
	bob := startTerminalChat(t, srv.URL, "bob")
	bob.sees(`.*You are bob on laptop.*`)
	bob.types("/to alice")
	bob.keys("\x1b[200~one\rtwo\r\x1b[201~")
	bob.types("three")
	for _, text := range []string{"one", "two", "three"} {
		bob.sees(`.*✓ +` + text)
	}
	bob.keys("four\r\x04") // the end does not overtake it
	if err := bob.ends(); err != nil {
		t.Errorf("bob: %v", err)
	}
	bob.sees(`.*✓ +four`)
}

// Two terminals: an update has its marks, and is none of what is read.
func TestUpdatesOnTerminals(t *testing.T) {
	srv := chatServer(t)
	bob := startTerminalChat(t, srv.URL, "bob")
	bob.sees(`.*You are bob on laptop.*`)
	alice := startTerminalChat(t, srv.URL, "alice")
	alice.sees(`.*You are alice on laptop.*`)
	alice.types("/to bob", "one", "/edit two")
	alice.sees(`.*✓✓ edit: two`)
	bob.sees(`.*alice edited \(re: one\): two`)
	bob.types("/to alice")
	alice.sees(`.*● *one`)
	bob.types("/react 👍")
	bob.sees(`.*✓✓ 👍 to two`)
	alice.sees(`.*bob reacted 👍 to two`)
	alice.types("/messages", "/delete")
	alice.sees(`.*#1 \[..:..\] alice: two \(edited\) \[👍 bob\]`)
	bob.sees(`.*alice deleted a message of \d\d:\d\d`)
}

// A line that begins a command is not reported as typing.
func TestKeys(t *testing.T) {
	for line, typing := range map[string]bool{"": false, "h": true, "/": false, "/block bo": false, "//": true, "/reply 1 s": true} {
		s := &screen{keys: make(chan struct{}, 1)}
		for range 2 { // the second one finds it full
			if _, _, done := s.pressed(line, len(line), 'x'); done {
				t.Errorf("%q: the key is taken", line)
			}
		}
		if len(s.keys) == 1 != typing {
			t.Errorf("%q: reported %d times", line, len(s.keys))
		}
	}
}

// terminalScreen is a screen on a terminal, and what it shows there.
func terminalScreen() (*screen, *bytes.Buffer) {
	var out bytes.Buffer
	s := &screen{fd: -1, term: term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{strings.NewReader(""), &out}, "")}
	s.out = s.term
	return s, &out
}

// On a terminal the row about typing goes away.
func TestPassingRow(t *testing.T) {
	s, out := terminalScreen()
	s.temporary("bob is typing")
	s.line("[12:00] bob: hi")
	s.temporary("bob is typing")
	s.fade()
	s.fade()
	s.temporary("bob is typing")
	s.typed.Add(1)
	s.line("on")
	expected := "bob is typing\r\n\x1b[1A\r\x1b[K[12:00] bob: hi\r\n" +
		"bob is typing\r\n\x1b[1A\r\x1b[Kbob is typing\r\non\r\n"
	if out.String() != expected || s.err != nil {
		t.Errorf("shown: %q, %v", out.String(), s.err)
	}
}

// On a terminal the second mark replaces the first, unless something came
// between.
func TestMarksOnATerminal(t *testing.T) {
	s, out := terminalScreen()
	const one, two, three schemas.MessageID = "1", "2", "3"
	s.mark(one, "✓", "first\nline")
	s.mark(one, "✓✓", "first\nline")
	s.mark(two, "✓", "second")
	s.line("[12:00] bob: hi")
	s.mark(two, "✓✓", "second")
	s.mark(three, "✓", strings.Repeat("x", 50))
	s.typed.Add(1)
	s.mark(three, "✓✓", "third")
	expected := "  ✓  first\r\n\x1b[1A\r\x1b[K  ✓✓ first\r\n  ✓  second\r\n[12:00] bob: hi\r\n  ✓✓ second\r\n" +
		"  ✓  " + strings.Repeat("x", 30) + "…\r\n  ✓✓ third\r\n"
	if out.String() != expected || s.err != nil {
		t.Errorf("shown: %q, %v", out.String(), s.err)
	}
}
