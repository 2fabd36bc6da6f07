package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"roost/gateway/auth"
)

// Launcher starts servers as processes of this program.
type Launcher struct {
	// Parent is the directory under which data directories are made. It decides
	// which disk is measured.
	Parent string
	// Args are added to `roost serve`.
	Args []string
}

// Launched is a server of this bench. Stop ends it.
type Launched struct {
	Server
	// NATS is the address of its embedded server, host:port; empty: it does not listen.
	NATS string

	dir   string
	parts []func(context.Context) error // the starts of its processes, in order
	child []*child
}

// KeyFile is the file with the secret of its tokens.
func (l *Launched) KeyFile() string { return filepath.Join(l.dir, "token.key") }

// prepare creates the data directory of a server without processes.
func (x Launcher) prepare() (*Launched, error) {
	if err := os.MkdirAll(x.Parent, 0o700); err != nil {
		return nil, fmt.Errorf("failed to create the data directory: %w", err)
	}
	dir, err := os.MkdirTemp(x.Parent, "roost-bench-")
	if err != nil {
		return nil, fmt.Errorf("failed to create the data directory: %w", err)
	}
	l := &Launched{dir: dir}
	l.Restart = func(ctx context.Context) error {
		l.end()
		return l.start(ctx)
	}
	l.Kill = func(ctx context.Context) error {
		l.kill()
		return l.start(ctx)
	}
	return l, nil
}

// Start runs `roost serve` in a new data directory, together with a number of gateways.
func (x Launcher) Start(ctx context.Context, gateways int) (*Launched, error) {
	l, err := x.prepare()
	if err != nil {
		return nil, err
	}
	args := append([]string{"serve", "--data-dir", l.dir, "--http", "127.0.0.1:0", "--limits", "off", "--log-level", "info"}, x.Args...)
	if gateways > 0 {
		if l.NATS, err = freeAddress(); err != nil {
			l.Stop()
			return nil, err
		}
		args = append(args, "--nats-listen", l.NATS)
	}
	l.parts = append(l.parts, func(ctx context.Context) error { return l.launch(ctx, args) })
	for range gateways {
		l.parts = append(l.parts, func(ctx context.Context) error {
			return l.launch(ctx, []string{"gateway", "--nats", "nats://" + l.NATS, "--auth-secret", l.KeyFile(),
				"--http", "127.0.0.1:0", "--limits", "off"})
		})
	}
	if err := l.start(ctx); err != nil {
		l.Stop()
		return nil, err
	}
	return l, nil
}

// start starts all processes.
func (l *Launched) start(ctx context.Context) error {
	for _, part := range l.parts {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// launch starts one process that serves clients.
func (l *Launched) launch(ctx context.Context, args []string) error {
	c, err := l.run(ctx, args, urlLine)
	if err != nil {
		return err
	}
	l.URLs = append(l.URLs, c.said)
	if l.Tokens == nil {
		l.Tokens, err = ReadTokens(l.KeyFile())
	}
	return err
}

// run starts one process, which is ready when it prints a line.
func (l *Launched) run(ctx context.Context, args []string, ready *regexp.Regexp) (*child, error) {
	c, err := startChild(ctx, args, ready, startTimeout)
	if err != nil {
		return nil, err
	}
	l.child = append(l.child, c)
	l.PIDs = append(l.PIDs, c.cmd.Process.Pid)
	return c, nil
}

// end stops the processes, the last one first.
func (l *Launched) end() {
	for i := len(l.child) - 1; i >= 0; i-- {
		l.child[i].stop()
	}
	l.child, l.URLs, l.PIDs = nil, nil, nil
}

// kill ends all processes at once with SIGKILL.
func (l *Launched) kill() {
	for _, c := range l.child {
		_ = c.cmd.Process.Kill() // it may have ended
	}
	for _, c := range l.child {
		<-c.exited
	}
	l.child, l.URLs, l.PIDs = nil, nil, nil
}

// Stop ends the server, waits for it and removes its data. It may be called
// repeatedly.
func (l *Launched) Stop() {
	l.end()
	_ = os.RemoveAll(l.dir)
}

// ReadTokens reads the file with the secret of a server's tokens.
func ReadTokens(path string) (*auth.Tokens, error) {
	if _, err := os.Stat(path); err != nil { // LoadSecret would create it
		return nil, fmt.Errorf("failed to read the token secret: %w", err)
	}
	secret, err := auth.LoadSecret(path)
	if err != nil {
		return nil, err
	}
	return auth.NewTokens(secret)
}

// child is a process of this program.
type child struct {
	cmd    *exec.Cmd
	said   string        // the text of the awaited line
	exited chan struct{} // closed after its end
	log    *childLog
}

const (
	// startTimeout bounds the start of a child; stopTimeout its end, after which
	// it is killed.
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second
)

var urlLine = regexp.MustCompile(`serves.* url=(http://\S+)`)

// startChild runs this program with other arguments and waits for a line of its
// output. The child is in a process group of its own, so that a Ctrl-C in the
// terminal reaches it through stop.
func startChild(ctx context.Context, args []string, line *regexp.Regexp, most time.Duration) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("failed to find this program: %w", err)
	}
	c := &child{cmd: exec.Command(self, args...), exited: make(chan struct{}),
		log: &childLog{line: line, found: make(chan string, 1)}}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("failed to start roost %s: %w", args[0], err)
	}
	go func() {
		defer close(c.exited)
		_ = c.cmd.Wait() // its log has the cause
	}()
	select {
	case c.said = <-c.log.found:
		return c, nil
	case <-c.exited:
		return nil, fmt.Errorf("roost %s ended at once: %s", args[0], c.log.tail())
	case <-time.After(most):
		err = errors.New("no answer in time")
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.stop()
	return nil, fmt.Errorf("failed to start roost %s: %w", args[0], err)
}

// stop ends the child and waits for it.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(stopTimeout):
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
}

// childLog keeps the end of the output of a child, and finds a line in it.
type childLog struct {
	line  *regexp.Regexp
	found chan string // 1; written once, by Write

	mu   sync.Mutex // guards the rest
	text []byte     // the last keptLog bytes
	done bool
}

const keptLog = 8 << 10

func (b *childLog) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	if m := b.line.FindSubmatch(b.text); m != nil && !b.done {
		b.done = true
		b.found <- string(m[1])
	}
	if len(b.text) > keptLog {
		b.text = append([]byte(nil), b.text[len(b.text)-keptLog/2:]...)
	}
	return len(p), nil
}

// tail returns the last line.
func (b *childLog) tail() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := bytes.TrimSpace(b.text)
	return string(text[bytes.LastIndexByte(text, '\n')+1:])
}

// freeAddress returns a free loopback address.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("failed to find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
