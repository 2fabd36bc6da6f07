package chat

import (
	"context"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// chatter is a user at two pipes, or at a terminal.
type chatter struct {
	t     *testing.T
	stdin io.WriteCloser
	enter string // ends a line
	end   context.CancelFunc
	done  chan error

	mu     sync.Mutex
	text   string // shown and not yet expected
	whole  strings.Builder
	change chan struct{} // 1 long: text is longer
}

func startChat(t *testing.T, url, user string, change func(*Options)) *chatter {
	t.Helper()
	opts := Options{Server: url, User: user, Password: "correct horse", Register: true,
		Device: "laptop", State: filepath.Join(t.TempDir(), "state")}
	if change != nil {
		change(&opts)
	}
	in, out := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	p := &chatter{t: t, stdin: out, enter: "\n", end: cancel, done: make(chan error, 1), change: make(chan struct{}, 1)}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		p.done <- Run(ctx, opts, in, p)
	}()
	t.Cleanup(func() {
		cancel()
		_ = out.Close()
		<-finished
		if t.Failed() {
			t.Logf("%s saw:\n%s", user, p.saw())
		}
	})
	return p
}

func (p *chatter) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text += string(data)
	p.whole.Write(data)
	select {
	case p.change <- struct{}{}:
	default:
	}
	return len(data), nil
}

func (p *chatter) types(lines ...string) {
	p.t.Helper()
	for _, line := range lines {
		if _, err := io.WriteString(p.stdin, line+p.enter); err != nil {
			p.t.Fatal(err)
		}
	}
}

// saw is all that was shown so far.
func (p *chatter) saw() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.whole.String()
}

// sees waits for a line that matches, and drops all up to it.
func (p *chatter) sees(pattern string) {
	p.t.Helper()
	p.until(pattern)
}

// until is sees, and gives what stood before that line.
func (p *chatter) until(pattern string) string {
	p.t.Helper()
	line := regexp.MustCompile(`(?m)^` + pattern + `$`)
	late := time.After(20 * time.Second)
	for {
		p.mu.Lock()
		if found := line.FindStringIndex(p.text); found != nil {
			before := p.text[:found[0]]
			p.text = p.text[found[1]:]
			p.mu.Unlock()
			return before
		}
		text := p.text
		p.mu.Unlock()
		select {
		case <-p.change:
		case err := <-p.done:
			p.t.Fatalf("the chat ended with %v, and showed no %q but:\n%s", err, pattern, text)
		case <-late:
			p.t.Fatalf("no %q is shown but:\n%s", pattern, text)
		}
	}
}

func (p *chatter) ends() error {
	p.t.Helper()
	select {
	case err := <-p.done:
		return err
	case <-time.After(20 * time.Second):
		p.t.Fatal("the chat does not end")
		return nil
	}
}
