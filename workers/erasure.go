package workers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"roost/schemas"
	"roost/streams"
)

// erasure completes the deletion of accounts: the gateway that is asked for it
// deletes what it knows of, and may die in the middle. History is deleted at once,
// as for who switches it off; once nobody stores anything for the person any more
// all of it is done again, by a gateway, and the name is free unless it is reserved.
type erasure struct {
	streams   *streams.Conn
	retention *retention
	metrics   *metrics
	log       *slog.Logger

	mu  sync.Mutex // guards due
	due map[schemas.UserID]time.Time
}

func newErasure(opts Options, m *metrics, r *retention) *erasure {
	return &erasure{streams: opts.Streams, retention: r, metrics: m, log: opts.Log, due: make(map[schemas.UserID]time.Time)}
}

// changed hears of every change of anybody's devices, and of what each round finds.
func (e *erasure) changed(u schemas.UserID, record schemas.Devices) {
	if !record.Deleted() || record.Erased {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.due[u]; ok {
		return
	}
	since := time.Now() // the clock of who deleted it may be behind
	if at := record.DeletedAt.Time(); at.After(since) {
		since = at
	}
	e.due[u] = since.Add(streams.EraseSettle)
	e.retention.planNow(schemas.Participant{User: u})
}

// run completes what is due until ctx ends.
func (e *erasure) run(ctx context.Context) {
	tick := time.NewTicker(sweepTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.complete(ctx, time.Now())
		case <-ctx.Done():
			return
		}
	}
}

func (e *erasure) complete(ctx context.Context, now time.Time) {
	e.mu.Lock()
	var today []schemas.UserID
	for u, at := range e.due {
		if !at.After(now) {
			today = append(today, u)
		}
	}
	e.mu.Unlock()
	for _, u := range today {
		err := e.erase(ctx, u)
		if err != nil && ctx.Err() == nil {
			e.log.Warn("a deleted account could not be erased; it is tried again", "error", err)
		}
		e.mu.Lock()
		if err == nil {
			delete(e.due, u)
		} else {
			e.due[u] = now.Add(sweepRetry)
		}
		e.mu.Unlock()
	}
}

func (e *erasure) erase(ctx context.Context, u schemas.UserID) error {
	if err := e.streams.RequestErasure(ctx, u); err != nil {
		return err
	}
	n, err := e.retention.sweepOf(ctx, schemas.Participant{User: u})
	e.metrics.deleted.Add(float64(n))
	if err != nil {
		return err
	}
	first, err := e.streams.FinishErasure(ctx, u)
	if first {
		e.metrics.erased.Inc()
	}
	return err
}
