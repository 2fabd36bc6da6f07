package cmd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"roost/streams/embedded"
)

// stoppable is a server whose stream stops.
type stoppable struct {
	frozen  error
	recover func() error
	tries   int
}

func (s *stoppable) Frozen() error { return s.frozen }
func (s *stoppable) Recover() error {
	s.tries++
	if err := s.recover(); err != nil {
		return err
	}
	s.frozen = nil
	return nil
}

func TestGuardOpensStreamsAgain(t *testing.T) {
	stopped := errors.New("stream KV_GATEWAYS write error: too many open files")
	notYet := func() error { return fmt.Errorf("%w: too many open files", embedded.ErrNotYet) }
	for name, of := range map[string]struct {
		recover func() error
		after   time.Duration // the files are there again
		ends    time.Duration // the process; 0: it does not
		tries   int
	}{
		"at once":                  {func() error { return nil }, 0, 0, 1},
		"after some seconds":       {notYet, 5 * time.Second, 0, 6},
		"never":                    {notYet, time.Hour, recoverWithin + recoverEvery, 61},
		"not all of them are back": {func() error { return errors.New("stream INBOX_0 could not be recovered") }, time.Hour, guardEvery, 1},
	} {
		t.Run(name, func(t *testing.T) {
			server := &stoppable{frozen: stopped}
			g := newDiskGuard(t.TempDir(), 0, server, slog.New(slog.NewTextHandler(io.Discard, nil)))
			start := time.Now()
			server.recover = of.recover
			var ended time.Duration
			for at := time.Duration(0); at < 2*recoverWithin && ended == 0; at += guardEvery {
				if at >= of.after {
					server.recover = func() error { return nil }
					if of.after == 0 {
						server.recover = of.recover
					}
				}
				if err := g.recover(start.Add(at)); err != nil {
					if !errors.Is(err, stopped) && of.tries > 1 {
						t.Errorf("the cause is missing: %v", err)
					}
					ended = at + guardEvery
				}
			}
			if (of.ends == 0) != (ended == 0) || ended > of.ends+2*guardEvery || server.tries != of.tries {
				t.Errorf("ended after %v, not %v, with %d tries, not %d", ended, of.ends, server.tries, of.tries)
			}
		})
	}
}

// A stream that stops again at once, time after time, is not opened for ever.
func TestGuardGivesUp(t *testing.T) {
	server := &stoppable{recover: func() error { return nil }}
	g := newDiskGuard(t.TempDir(), 0, server, slog.New(slog.NewTextHandler(io.Discard, nil)))
	stopped, start := errors.New("input/output error"), time.Now()
	for at := time.Duration(0); ; at += guardEvery {
		server.frozen = stopped
		if err := g.recover(start.Add(at)); err != nil {
			if !errors.Is(err, stopped) || at < recoverWithin || at > 2*recoverWithin {
				t.Errorf("after %v: %v", at, err)
			}
			break
		}
		if at > 2*recoverWithin {
			t.Fatal("it never gave up")
		}
	}
	// A stop long after the last one is a new one.
	g.frozenAt, server.frozen = start, nil
	if err := g.recover(g.tried.Add(recoverWithin)); err != nil || !g.frozenAt.IsZero() {
		t.Errorf("%v, %v", err, g.frozenAt)
	}
}
