package workers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"roost/schemas"
	"roost/streams"
)

// erasure completes the deletion of accounts. The gateway that serves the request
// deletes the data that it finds, and may crash before it is done. erasure deletes the
// history of the user at once. After streams.EraseSettle no process stores data for
// the user any more. Then a gateway deletes the rest, and the name becomes free unless it is
// reserved.
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

// devicesChanged plans the erasure of a deleted account. The directory calls it after
// each change of a user's devices, and upkeep in each round.
func (e *erasure) devicesChanged(u schemas.UserID, record schemas.Devices) {
	if !record.Deleted() || record.Erased {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.due[u]; ok {
		return
	}
	since := time.Now() // the clock of the gateway that deleted it may be slow
	if at := record.DeletedAt.Time(); at.After(since) {
		since = at
	}
	e.due[u] = since.Add(streams.EraseSettle)
	e.retention.planNow(schemas.Participant{User: u})
}

// run erases the accounts that are due until ctx ends.
func (e *erasure) run(ctx context.Context) {
	tick := time.NewTicker(sweepTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.eraseDue(ctx, time.Now())
		case <-ctx.Done():
			return
		}
	}
}

func (e *erasure) eraseDue(ctx context.Context, now time.Time) {
	e.mu.Lock()
	var due []schemas.UserID
	for u, at := range e.due {
		if !at.After(now) {
			due = append(due, u)
		}
	}
	e.mu.Unlock()
	for _, u := range due {
		err := e.erase(ctx, u)
		if err != nil && ctx.Err() == nil {
			e.log.Warn("failed to erase a deleted account; the worker retries", "error", err)
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
	n, err := e.retention.sweepOwner(ctx, schemas.Participant{User: u})
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
