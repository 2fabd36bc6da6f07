package workers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"roost/schemas"
	"roost/streams"
)

// retention deletes what nobody may see any more: what is older than
// schemas.HistoryDays or has disappeared, and the chats of people who switched history off, as far
// as the other side does not keep them.
type retention struct {
	streams *streams.Conn
	store   Store
	metrics *metrics
	log     *slog.Logger

	wake chan struct{} // 1; written by follow, read by sweep; full means sweep will look anyway

	mu  sync.Mutex // guards due
	due map[schemas.UserID]visit
}

// visit is when a user's history is to be swept, and whether once more after.
type visit struct {
	at    time.Time
	again bool
}

const (
	// expireEvery is for how long at most what has disappeared, and is not shown any
	// more, is still on the disk.
	expireEvery = time.Minute
	sweepTick   = time.Second
	// sweepAgain is when a user is swept a second time: messages that were on
	// their way into the store at the first, for storeTimeout at most, have arrived
	// by then. Within a minute all is gone.
	sweepAgain = 45 * time.Second
	sweepRetry = 5 * time.Second
	// lately is for how long after history was switched on it is looked whether it
	// was on before: the choice in between may have been seen by nobody.
	lately = time.Hour
)

func newRetention(opts Options, m *metrics) *retention {
	return &retention{streams: opts.Streams, store: opts.Store, metrics: m, log: opts.Log,
		wake: make(chan struct{}, 1), due: make(map[schemas.UserID]visit)}
}

// follow notes who keeps no history, or none of before. It begins with everybody
// who ever chose, so a choice made while no worker ran is carried out as well.
func (r *retention) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.streams.WatchSettings(ctx, func(u schemas.UserID, s schemas.Settings) {
			if s.KeepsHistory() && time.Since(s.HistorySince.Time()) > lately {
				return
			}
			r.plan(u, visit{at: time.Now(), again: true})
			select {
			case r.wake <- struct{}{}:
			default:
			}
		})
		if err == nil {
			continue
		}
		r.log.Warn("settings could not be followed; it is tried again", "error", err)
		select {
		case <-time.After(sweepRetry):
		case <-ctx.Done():
		}
	}
}

func (r *retention) plan(u schemas.UserID, v visit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due[u] = v
}

// sweep deletes what is due until ctx ends.
func (r *retention) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepTick)
	defer tick.Stop()
	expire := time.Now()
	for {
		select {
		case <-r.wake:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		r.sweepDue(ctx, time.Now())
		if now := time.Now(); !now.Before(expire) {
			expire = now.Add(expireEvery)
			if n, err := r.store.DeleteExpired(ctx, schemas.Now()); err == nil {
				r.metrics.deleted.Add(float64(n))
			} else if ctx.Err() == nil {
				expire = now.Add(sweepRetry)
				r.log.Warn("expired messages could not be deleted; it is tried again", "error", err)
			}
		}
	}
}

func (r *retention) sweepDue(ctx context.Context, now time.Time) {
	r.mu.Lock()
	today := make(map[schemas.UserID]visit)
	for u, v := range r.due {
		if !v.at.After(now) {
			today[u] = v
			delete(r.due, u)
		}
	}
	r.mu.Unlock()
	for u, v := range today {
		n, err := r.sweepUser(ctx, u)
		r.metrics.deleted.Add(float64(n))
		switch {
		case err != nil && ctx.Err() == nil:
			r.log.Warn("the history of a user could not be deleted; it is tried again", "error", err)
			r.plan(u, visit{at: now.Add(sweepRetry), again: v.again})
		case v.again:
			r.plan(u, visit{at: now.Add(sweepAgain)})
		}
	}
}

// sweepUser deletes what nobody sees any more of each of a user's chats.
func (r *retention) sweepUser(ctx context.Context, u schemas.UserID) (int, error) {
	chats, err := r.store.Chats(ctx, u)
	if err != nil {
		return 0, err
	}
	deleted := 0
	for _, chat := range chats {
		before, ok, err := r.nobodySees(ctx, chat)
		if err != nil {
			return deleted, err
		}
		if !ok {
			continue
		}
		n, err := r.store.DeleteBefore(ctx, chat, before)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// keepsSince is since when a user keeps history, if at all: whoever deleted the
// account does not, whatever is left of the settings.
func (r *retention) keepsSince(ctx context.Context, u schemas.UserID) (since schemas.Timestamp, keeps bool, err error) {
	person, err := r.streams.Directory().Fresh(ctx, u)
	if err != nil || !person.Exists || !person.Settings.KeepsHistory() {
		return 0, false, err
	}
	return person.Settings.HistorySince, true, nil
}

// nobodySees is the time before which nobody sees messages of a chat.
func (r *retention) nobodySees(ctx context.Context, chat schemas.ChatID) (schemas.Timestamp, bool, error) {
	a, b, ok := chat.Users()
	if !ok {
		return 0, false, nil // a group has other members
	}
	before := schemas.Now() + 1
	for _, u := range []schemas.UserID{a, b} {
		since, keeps, err := r.keepsSince(ctx, u)
		if err != nil {
			return 0, false, err
		}
		if keeps {
			before = min(before, since)
		}
	}
	return before, true, nil
}
