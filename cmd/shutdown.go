package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/run"
)

const (
	// exitWithin bounds the shutdown of a process, whatever hangs.
	exitWithin = 20 * time.Second
	// exitReserve is the time that the deadline of a closer leaves for the parts after it.
	exitReserve = 3 * time.Second
)

// shutdown ends a process in order and in time. The run group ends the actors; then the
// closers run one after the other, the last pushed first. All of them share one deadline.
// At the deadline shutdown logs the parts that still run, and the process exits with 1.
type shutdown struct {
	// Static.
	log    *slog.Logger
	within time.Duration
	ctx    context.Context // ends at the deadline
	cancel context.CancelFunc

	mu      sync.Mutex // guards the rest
	timer   *time.Timer
	began   time.Time
	running []string // the parts that run
	closers []closer
}

// closer ends one part, at the latest when its context ends.
type closer struct {
	name  string
	close func(context.Context) error
}

func newShutdown(log *slog.Logger, within time.Duration) *shutdown {
	s := &shutdown{log: log, within: within}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// begin starts the time of the deadline at the first call.
func (s *shutdown) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer == nil {
		s.began = time.Now()
		s.timer = time.AfterFunc(s.within, s.cancel)
	}
}

// add adds an actor that returns when its context ends.
func (s *shutdown) add(group *run.Group, name string, execute func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	s.addParts(group, name, func() error { return execute(ctx) }, cancel)
}

// addParts adds an actor by its two functions. The first interrupt of any actor begins the
// shutdown.
func (s *shutdown) addParts(group *run.Group, name string, execute func() error, interrupt func()) {
	group.Add(s.watch(name, execute), func(error) {
		s.begin()
		_ = s.watch(name+", which drains", func() error { interrupt(); return nil })()
	})
}

// push adds a closer.
func (s *shutdown) push(name string, close func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, closer{name, close})
}

// watch returns do with a note in running while it runs.
func (s *shutdown) watch(name string, do func() error) func() error {
	return func() error {
		s.mu.Lock()
		s.running = append(s.running, name)
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			at := slices.Index(s.running, name)
			s.running = slices.Delete(s.running, at, at+1)
		}()
		return do()
	}
}

// wait runs do and returns its error. At the deadline it returns an error with the names of
// the parts that still run.
func (s *shutdown) wait(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-s.ctx.Done():
	}
	select {
	case err := <-done: // do ended at the deadline
		return err
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	names := strings.Join(s.running, ", ")
	s.log.Error("the process exits before everything has ended", "after", s.within, "running", names)
	return fmt.Errorf("not everything ended within %v, and the process exits all the same; still running: %s", s.within, names)
}

// finish runs the closers and joins their errors with err. After the deadline it runs no
// closer: each part needs those that are closed after it.
func (s *shutdown) finish(err *error) {
	s.begin()
	ctx, cancel := context.WithDeadline(s.ctx, s.began.Add(s.within-exitReserve))
	defer cancel()
	for {
		s.mu.Lock()
		n := len(s.closers)
		if n == 0 || s.ctx.Err() != nil {
			s.timer.Stop()
			s.mu.Unlock()
			s.cancel()
			return
		}
		last := s.closers[n-1]
		s.closers = s.closers[:n-1]
		s.mu.Unlock()
		if failed := s.wait(s.watch(last.name, func() error { return last.close(ctx) })); failed != nil {
			*err = errors.Join(*err, fmt.Errorf("%s: %w", last.name, failed))
		}
	}
}

// always returns a closer that cannot fail.
func always(close func()) func(context.Context) error {
	return func(context.Context) error {
		close()
		return nil
	}
}
