package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// laterEvery is how often it is tried again.
	laterEvery = time.Second
	// laterTimeout bounds one try.
	laterTimeout = 5 * time.Second
	// maxLater bounds what waits; more is dropped, and logged. A session leaves two at
	// most, and none begins while NATS is away.
	maxLater = 100_000
)

// later is what sessions could not leave in order when they ended, while NATS was
// away say: the end of their record, or a device that nobody knows of. It is tried
// again until it is done.
type later struct {
	log *slog.Logger

	mu      sync.Mutex // guards waiting
	waiting []func(context.Context) error
}

// add has do called again and again, until it returns nil.
func (l *later) add(do func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= maxLater {
		l.log.Warn("what a session left stays as it is: too much waits already", "waiting", len(l.waiting))
		return
	}
	l.waiting = append(l.waiting, do)
}

// run does what waits, until ctx ends, and then tries what is left once more.
func (l *later) run(ctx context.Context) {
	repeat(ctx, laterEvery, laterTimeout, l.round)
}

// repeat calls do every so often until ctx ends, and then once more, with so much time
// for that.
func repeat(ctx context.Context, every, last time.Duration, do func(context.Context)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do(ctx)
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), last)
			defer cancel()
			do(ctx)
			return
		}
	}
}

// round does what waits until one fails, which waits behind the others then: what is
// wrong with one alone does not hold them up for long.
func (l *later) round(ctx context.Context) {
	l.mu.Lock()
	all := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	for i, do := range all {
		try, cancel := context.WithTimeout(ctx, laterTimeout)
		err := do(try)
		cancel()
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			l.log.Warn("what a session left is not in order yet; it is tried again", "waiting", len(all)-i, "error", err)
		}
		l.mu.Lock()
		l.waiting = append(append(all[i+1:], do), l.waiting...)
		l.mu.Unlock()
		return
	}
}
