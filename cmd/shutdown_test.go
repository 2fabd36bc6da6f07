package cmd

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/run"
)

// ended has parts of a process end and returns how long that took, the error and the log.
func ended(t *testing.T, within time.Duration, parts func(end *shutdown, group *run.Group)) (took time.Duration, logged string, err error) {
	t.Helper()
	var log bytes.Buffer
	began := time.Now()
	err = func() (err error) {
		end := newShutdown(slog.New(slog.NewTextHandler(&log, nil)), within)
		defer end.finish(&err)
		var group run.Group
		parts(end, &group)
		end.add(&group, "the signal", func(context.Context) error { return errStopped })
		return finished(end.wait(group.Run))
	}()
	return time.Since(began), log.String(), err
}

func TestShutdownInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		note := func(name string) func() { return func() { order = append(order, name) } }
		took, log, err := ended(t, exitWithin, func(end *shutdown, group *run.Group) {
			end.push("the lock", always(note("lock")))
			end.push("the store", func(context.Context) error { note("store")(); return errors.New("the disk is full") })
			end.add(group, "the workers", func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second)
				note("workers")()
				return nil
			})
		})
		if !slices.Equal(order, []string{"workers", "store", "lock"}) || took != time.Second {
			t.Errorf("%v in %v", order, took)
		}
		if err == nil || err.Error() != "the store: the disk is full" || log != "" {
			t.Errorf("%v; log %q", err, log)
		}
	})
}

// TestShutdownGivesUpInTime: a closer that waits leaves time for those after it.
func TestShutdownGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := false
		took, _, err := ended(t, exitWithin, func(end *shutdown, _ *run.Group) {
			end.push("the NATS server", always(func() { time.Sleep(time.Second); closed = true }))
			end.push("the connections to NATS", func(ctx context.Context) error { <-ctx.Done(); return errors.New("one record was left") })
		})
		if took != exitWithin-exitReserve+time.Second || !closed || err == nil || err.Error() != "the connections to NATS: one record was left" {
			t.Errorf("%v after %v, closed %t", err, took, closed)
		}
	})
}

// TestShutdownHangs: whichever part hangs, the process ends, says which, and not with 0.
func TestShutdownHangs(t *testing.T) {
	for name, hang := range map[string]func(end *shutdown, group *run.Group, forever chan struct{}){
		"the workers": func(end *shutdown, group *run.Group, forever chan struct{}) {
			end.add(group, "the workers", func(context.Context) error { <-forever; return nil })
		},
		"the gateway, which drains": func(end *shutdown, group *run.Group, forever chan struct{}) {
			end.addParts(group, "the gateway", func() error { <-forever; return nil }, func() { <-forever })
		},
		"the connections to NATS": func(end *shutdown, _ *run.Group, forever chan struct{}) {
			end.push("the connections to NATS", func(context.Context) error { <-forever; return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				forever, closed := make(chan struct{}), false
				defer close(forever) // or synctest waits for it
				took, log, err := ended(t, exitWithin, func(end *shutdown, group *run.Group) {
					end.push("the NATS server", always(func() { closed = true }))
					hang(end, group, forever)
				})
				if took != exitWithin || closed {
					t.Errorf("it took %v, and closed what the rest needs: %t", took, closed)
				}
				if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(log, name) {
					t.Errorf("%v; log %q", err, log)
				}
			})
		})
	}
}
