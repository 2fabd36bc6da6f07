package workers

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"roost/schemas"
	"roost/streams"
	"roost/streams/group"
)

// retention deletes history that no user can see any more:
//
//   - messages older than schemas.HistoryDays, and disappearing messages that expired;
//   - messages of users and groups that switched history off, unless another
//     participant keeps them.
type retention struct {
	streams *streams.Conn
	store   Store
	metrics *metrics
	log     *slog.Logger

	wake chan struct{} // capacity 1; planNow writes, sweep reads; if it is full, sweep will look at due anyway

	planned *lru.Cache[schemas.GroupID, schemas.Timestamp] // the history_until of each group with a planned sweep

	mu  sync.Mutex // guards due
	due map[schemas.Participant]plannedSweep
}

// plannedSweep is the time to sweep the history of a user or group.
type plannedSweep struct {
	at     time.Time
	repeat bool // sweep once more, after sweepRepeat
}

const (
	// expireEvery bounds the time that an expired message stays on the disk. Pages
	// do not show it any more.
	expireEvery = time.Minute
	sweepTick   = time.Second
	// sweepRepeat is the time from the first sweep of a history to the second. During
	// the first, the mirror may still write messages, for at most storeTimeout. The
	// second sweep deletes those too, within a minute.
	sweepRepeat = 45 * time.Second
	sweepRetry  = 5 * time.Second
	// recentChange is for how long after history was switched on retention checks for
	// older messages. It may have been off before, and no worker may have seen that.
	recentChange = time.Hour
	// maxPlanned bounds planned. An evicted group may be swept once more.
	maxPlanned = 100_000
)

func newRetention(opts Options, m *metrics) *retention {
	planned, err := lru.New[schemas.GroupID, schemas.Timestamp](maxPlanned)
	if err != nil {
		panic(err) // maxPlanned is positive
	}
	return &retention{streams: opts.Streams, store: opts.Store, metrics: m, log: opts.Log,
		wake: make(chan struct{}, 1), planned: planned, due: make(map[schemas.Participant]plannedSweep)}
}

// watchSettings plans a sweep for each user who keeps no history, or switched it on
// recently. It begins with all stored settings, so it finds changes that were made while
// no worker ran.
func (r *retention) watchSettings(ctx context.Context) {
	r.watch(ctx, "settings", func() error { return r.streams.Directory().FollowSettings(ctx, r.settingsChanged) })
}

func (r *retention) settingsChanged(u schemas.UserID, s schemas.Settings) {
	if !s.KeepsHistory() || time.Since(s.HistorySince.Time()) <= recentChange {
		r.planNow(schemas.Participant{User: u})
	}
}

// watchGroups plans a sweep for each group that switched history off or was deleted,
// while messages of the time before may exist.
func (r *retention) watchGroups(ctx context.Context) {
	r.watch(ctx, "groups", func() error { return r.streams.Groups().Follow(ctx, r.groupChanged) })
}

func (r *retention) groupChanged(id schemas.GroupID, g *schemas.Group, at time.Time) {
	until := schemas.TimestampOf(at)
	if g != nil {
		until = g.HistoryUntil
	}
	if until == 0 || time.Since(until.Time()) >= schemas.HistoryDays*24*time.Hour {
		return
	}
	if planned, ok := r.planned.Get(id); ok && planned == until {
		return
	}
	r.planned.Add(id, until)
	r.planNow(schemas.Participant{Group: id})
}

// watch runs a watch until ctx ends. It starts the watch again after a failure.
func (r *retention) watch(ctx context.Context, subject string, watch func() error) {
	for ctx.Err() == nil {
		err := watch()
		if err == nil {
			continue
		}
		r.log.Warn("failed to watch the "+subject+"; the worker retries", "error", err)
		select {
		case <-time.After(sweepRetry):
		case <-ctx.Done():
		}
	}
}

func (r *retention) planNow(owner schemas.Participant) {
	r.plan(owner, plannedSweep{at: time.Now(), repeat: true})
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *retention) plan(owner schemas.Participant, p plannedSweep) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due[owner] = p
}

// planNext plans the next sweep after one. It keeps a sweep that was planned meanwhile,
// because the finished one may have missed the change that caused it.
func (r *retention) planNext(owner schemas.Participant, p plannedSweep) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.due[owner]; !ok {
		r.due[owner] = p
	}
}

// sweep runs the planned sweeps, and deletes expired messages, until ctx ends.
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
				r.log.Warn("failed to delete expired messages; the worker retries", "error", err)
			}
		}
	}
}

func (r *retention) sweepDue(ctx context.Context, now time.Time) {
	r.mu.Lock()
	due := make(map[schemas.Participant]plannedSweep)
	for owner, p := range r.due {
		if !p.at.After(now) {
			due[owner] = p
			delete(r.due, owner)
		}
	}
	r.mu.Unlock()
	for owner, p := range due {
		n, err := r.sweepOwner(ctx, owner)
		r.metrics.deleted.Add(float64(n))
		switch {
		case err != nil && ctx.Err() == nil:
			r.log.Warn("failed to delete history that was switched off; the worker retries", "error", err)
			r.planNext(owner, plannedSweep{at: now.Add(sweepRetry), repeat: p.repeat})
		case p.repeat:
			r.planNext(owner, plannedSweep{at: now.Add(sweepRepeat)})
		}
	}
}

// sweepOwner deletes the messages that no user sees any more from the chats of a user,
// or from a group.
func (r *retention) sweepOwner(ctx context.Context, owner schemas.Participant) (deleted int, err error) {
	chats := []schemas.ChatID{schemas.ChatWith("", owner)}
	if owner.Group == "" {
		if chats, err = r.chats(ctx, owner.User); err != nil {
			return 0, err
		}
	}
	for _, chat := range chats {
		n, err := r.sweepChat(ctx, chat)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// chats returns the chats that may hold history of a user: those in which the user sent
// or received a message, and the user's groups.
func (r *retention) chats(ctx context.Context, u schemas.UserID) ([]schemas.ChatID, error) {
	chats, err := r.store.Chats(ctx, u)
	if err != nil {
		return nil, err
	}
	groups, err := r.streams.Groups().Seen(ctx, u)
	if err != nil {
		return nil, err
	}
	for _, id := range groups {
		if chat := schemas.ChatID(id); !slices.Contains(chats, chat) {
			chats = append(chats, chat)
		}
	}
	return chats, nil
}

// period is a time in which a user or group keeps a chat, from included and to excluded.
type period struct{ from, to schemas.Timestamp }

// sweepChat deletes the messages of a chat that lie in no period.
func (r *retention) sweepChat(ctx context.Context, chat schemas.ChatID) (deleted int, err error) {
	now := schemas.Now() + 1 // before the settings are read: a user who switches history on later keeps later messages
	kept, err := r.kept(ctx, chat, now)
	if err != nil {
		return 0, err
	}
	slices.SortFunc(kept, func(a, b period) int { return int(a.from - b.from) })
	at := schemas.Timestamp(0)
	for _, p := range append(kept, period{now, now}) {
		if at < p.from {
			n, err := r.store.DeleteBetween(ctx, chat, at, p.from)
			deleted += n
			if err != nil {
				return deleted, err
			}
		}
		at = max(at, p.to)
	}
	return deleted, nil
}

// kept returns the periods up to now in which a participant keeps a chat, in any order.
func (r *retention) kept(ctx context.Context, chat schemas.ChatID, now schemas.Timestamp) (kept []period, err error) {
	a, b, ok := chat.Users()
	if !ok {
		return r.keptOfGroup(ctx, schemas.GroupID(chat), now)
	}
	for _, u := range []schemas.UserID{a, b} {
		since, keeps, err := r.keepsSince(ctx, u)
		if err != nil {
			return nil, err
		}
		if keeps {
			kept = append(kept, period{since, now})
		}
	}
	return kept, nil
}

// keptOfGroup returns the periods in which the group, or a member of that time, keeps history.
func (r *retention) keptOfGroup(ctx context.Context, id schemas.GroupID, now schemas.Timestamp) (kept []period, err error) {
	// The group first: the memberships hold a user who leaves it after the read.
	g, err := r.streams.Groups().Peek(ctx, id)
	if err != nil && !errors.Is(err, group.ErrNotFound) {
		return nil, err
	}
	memberships, err := r.streams.Groups().Memberships(ctx, id)
	if err != nil {
		return nil, err
	}
	if g != nil && g.KeepsHistory() {
		kept = append(kept, period{g.HistorySince, now})
	}
	for u, m := range memberships {
		spans := m.Seen(u, g)
		if len(spans) == 0 {
			continue
		}
		since, keeps, err := r.keepsSince(ctx, u)
		if err != nil {
			return nil, err
		}
		for _, s := range spans {
			p := period{max(since, s.From.Time()), now}
			if s.To != "" {
				p.to = s.To.Time() + 1
			}
			if keeps && p.from < p.to {
				kept = append(kept, p)
			}
		}
	}
	return kept, nil
}

// keepsSince returns whether and since when a user keeps history. A deleted account
// keeps none, even if its settings still exist.
func (r *retention) keepsSince(ctx context.Context, u schemas.UserID) (since schemas.Timestamp, keeps bool, err error) {
	settings, err := r.streams.Directory().Settings(ctx, u)
	if err != nil || !settings.KeepsHistory() {
		return 0, false, err
	}
	user, err := r.streams.Directory().Fresh(ctx, u)
	if err != nil || !user.Exists {
		return 0, false, err
	}
	return settings.HistorySince, true, nil
}
