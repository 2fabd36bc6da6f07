package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// retryEvery is how often the queue retries.
	retryEvery = time.Second
	// retryTimeout bounds one retry.
	retryTimeout = 5 * time.Second
	// maxRetries bounds the queue; more is dropped, and logged. A session adds two at most,
	// and no session begins while NATS is down.
	maxRetries = 100_000
)

// retryQueue repeats session clean-up that failed, for example while NATS is down: the end of a
// session's record, or the removal of a device that no client knows of. It retries until that
// succeeds.
type retryQueue struct {
	log *slog.Logger

	mu      sync.Mutex // guards waiting
	waiting []func(context.Context) error
}

// add queues do, which is called until it returns nil.
func (q *retryQueue) add(do func(context.Context) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxRetries {
		q.log.Warn("a session's clean-up was dropped: the retry queue is full", "waiting", len(q.waiting))
		return
	}
	q.waiting = append(q.waiting, do)
}

// run retries until ctx ends, and then once more.
func (q *retryQueue) run(ctx context.Context) {
	repeat(ctx, retryEvery, retryTimeout, q.round)
}

// repeat calls do regularly until ctx ends, and then once more with a timeout of last.
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

// round retries all that waits until one fails. The failed one moves to the end of the queue, so
// that it does not block the others for long.
func (q *retryQueue) round(ctx context.Context) {
	q.mu.Lock()
	all := q.waiting
	q.waiting = nil
	q.mu.Unlock()
	for i, do := range all {
		try, cancel := context.WithTimeout(ctx, retryTimeout)
		err := do(try)
		cancel()
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			q.log.Warn("a session's clean-up failed; this is retried", "waiting", len(all)-i, "error", err)
		}
		q.mu.Lock()
		q.waiting = append(append(all[i+1:], do), q.waiting...)
		q.mu.Unlock()
		return
	}
}
