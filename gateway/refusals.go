package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"roost/streams/publisher"
)

const (
	// refusalsEvery is how often the log reports refused sends at most.
	refusalsEvery = time.Second
	// leaderTimeout bounds the look-up of a leader for the log.
	leaderTimeout = time.Second
)

// refusals logs sends that were not stored: at most one line in refusalsEvery, with their number and
// the last cause. If a stream refused them, the line names the stream and the server that leads
// it.
type refusals struct {
	// Static.
	log    *slog.Logger
	leader func(ctx context.Context, stream string) (string, error)
	some   chan struct{} // size 1; wakes run. If it is full, run will wake anyway

	mu    sync.Mutex // guards the rest
	count int        // since the last line
	last  error
}

func newRefusals(log *slog.Logger, leader func(context.Context, string) (string, error)) *refusals {
	return &refusals{log: log, leader: leader, some: make(chan struct{}, 1)}
}

// add counts a send. It does not block.
func (r *refusals) add(cause error) {
	r.mu.Lock()
	r.count++
	r.last = cause
	r.mu.Unlock()
	select {
	case r.some <- struct{}{}:
	default:
	}
}

// run logs until ctx ends, and then the rest.
func (r *refusals) run(ctx context.Context) {
	for {
		select {
		case <-r.some:
			r.report(ctx)
		case <-ctx.Done():
			r.report(ctx)
			return
		}
		select {
		case <-time.After(refusalsEvery):
		case <-ctx.Done():
		}
	}
}

func (r *refusals) report(ctx context.Context) {
	r.mu.Lock()
	count, last := r.count, r.last
	r.count, r.last = 0, nil
	r.mu.Unlock()
	if count == 0 {
		return
	}
	args := []any{"sends", count, "error", last}
	var commit *publisher.CommitError
	if errors.As(last, &commit) {
		args = append(args, "stream", commit.Stream)
		ctx, cancel := context.WithTimeout(ctx, leaderTimeout)
		defer cancel()
		leader, err := r.leader(ctx, commit.Stream)
		switch {
		case err != nil:
			args = append(args, "leader", "unknown")
		case leader != "":
			args = append(args, "leader", leader)
		}
	}
	r.log.Warn("sends were not stored; the clients were told to retry", args...)
}
