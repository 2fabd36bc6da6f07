package workers

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"roost/schemas"
	"roost/streams"
)

// retention deletes what nobody may see any more: what is older than
// schemas.HistoryDays or has disappeared, and of the chats of people, and of groups, that
// switched history off what nobody else keeps.
type retention struct {
	streams *streams.Conn
	store   Store
	metrics *metrics
	log     *slog.Logger

	wake chan struct{} // 1; written by those who follow, read by sweep; full means sweep will look anyway

	mu  sync.Mutex // guards the rest
	due map[schemas.Participant]visit
	off map[schemas.GroupID]schemas.Timestamp // the history_until of groups that a visit was planned for
}

// visit is when the history of a person or group is to be swept, and whether once more after.
type visit struct {
	at    time.Time
	again bool
}

const (
	// expireEvery is for how long at most what has disappeared, and is not shown any
	// more, is still on the disk.
	expireEvery = time.Minute
	sweepTick   = time.Second
	// sweepAgain is when a history is swept a second time: messages that were on
	// their way into the store at the first, for storeTimeout at most, have arrived
	// by then. Within a minute all is gone.
	sweepAgain = 45 * time.Second
	sweepRetry = 5 * time.Second
	// lately is for how long after history was switched on it is looked whether it
	// was on before: the choice in between may have been seen by nobody.
	lately = time.Hour
	maxOff = 100_000
)

func newRetention(opts Options, m *metrics) *retention {
	return &retention{streams: opts.Streams, store: opts.Store, metrics: m, log: opts.Log,
		wake: make(chan struct{}, 1), due: make(map[schemas.Participant]visit), off: make(map[schemas.GroupID]schemas.Timestamp)}
}

// followSettings notes who keeps no history, or none of before. It begins with everybody
// who ever chose, so a choice made while no worker ran is carried out as well.
func (r *retention) followSettings(ctx context.Context) {
	r.follow(ctx, "settings", func() error {
		return r.streams.WatchSettings(ctx, func(u schemas.UserID, s schemas.Settings) {
			if !s.KeepsHistory() || time.Since(s.HistorySince.Time()) <= lately {
				r.planNow(schemas.Participant{User: u})
			}
		})
	})
}

// followGroups notes which groups stopped keeping history, or were deleted, as long as
// there may be something of before.
func (r *retention) followGroups(ctx context.Context) {
	r.follow(ctx, "groups", func() error {
		return r.streams.WatchGroups(ctx, func(id schemas.GroupID, g *schemas.Group, at time.Time) {
			until := schemas.TimestampOf(at)
			if g != nil {
				until = g.HistoryUntil
			}
			if until != 0 && time.Since(until.Time()) < schemas.HistoryDays*24*time.Hour && r.isNews(id, until) {
				r.planNow(schemas.Participant{Group: id})
			}
		})
	})
}

// isNews says whether no visit was planned for that end of a group's history.
func (r *retention) isNews(id schemas.GroupID, until schemas.Timestamp) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.off[id]
	if len(r.off) >= maxOff {
		clear(r.off) // at worst one more visit of each
	}
	r.off[id] = until
	return known != until
}

// follow watches again where that failed, until ctx ends.
func (r *retention) follow(ctx context.Context, what string, watch func() error) {
	for ctx.Err() == nil {
		err := watch()
		if err == nil {
			continue
		}
		r.log.Warn(what+" could not be followed; it is tried again", "error", err)
		select {
		case <-time.After(sweepRetry):
		case <-ctx.Done():
		}
	}
}

func (r *retention) planNow(of schemas.Participant) {
	r.plan(of, visit{at: time.Now(), again: true})
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *retention) plan(of schemas.Participant, v visit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due[of] = v
}

// planUnlessNews is plan after a visit: what was planned during it is for a choice that
// the visit may not have seen.
func (r *retention) planUnlessNews(of schemas.Participant, v visit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.due[of]; !ok {
		r.due[of] = v
	}
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
	today := make(map[schemas.Participant]visit)
	for of, v := range r.due {
		if !v.at.After(now) {
			today[of] = v
			delete(r.due, of)
		}
	}
	r.mu.Unlock()
	for of, v := range today {
		n, err := r.sweepOf(ctx, of)
		r.metrics.deleted.Add(float64(n))
		switch {
		case err != nil && ctx.Err() == nil:
			r.log.Warn("history that was switched off could not be deleted; it is tried again", "error", err)
			r.planUnlessNews(of, visit{at: now.Add(sweepRetry), again: v.again})
		case v.again:
			r.planUnlessNews(of, visit{at: now.Add(sweepAgain)})
		}
	}
}

// sweepOf deletes what nobody sees any more of the chats of a person, or of a group.
func (r *retention) sweepOf(ctx context.Context, of schemas.Participant) (deleted int, err error) {
	chats := []schemas.ChatID{schemas.ChatWith("", of)}
	if of.Group == "" {
		if chats, err = r.chats(ctx, of.User); err != nil {
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

// chats are those of which a person may have kept something: where they sent, or were
// sent, something, and their groups.
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

// period is a time in which somebody keeps a chat: from is in it, to is not.
type period struct{ from, to schemas.Timestamp }

// sweepChat deletes what of a chat is in nobody's period.
func (r *retention) sweepChat(ctx context.Context, chat schemas.ChatID) (deleted int, err error) {
	now := schemas.Now() + 1 // before the choices are read: who switches history on after it keeps what comes then
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

// kept are the periods up to now in which somebody keeps a chat, in any order.
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

// keptOfGroup are those in which the group keeps history, or somebody who was a member then.
func (r *retention) keptOfGroup(ctx context.Context, id schemas.GroupID, now schemas.Timestamp) (kept []period, err error) {
	// The group first: who leaves it afterwards is among the memberships.
	group, err := r.streams.Groups().Peek(ctx, id)
	if err != nil && !errors.Is(err, streams.ErrNoGroup) {
		return nil, err
	}
	memberships, err := r.streams.Groups().Memberships(ctx, id)
	if err != nil {
		return nil, err
	}
	if group != nil && group.KeepsHistory() {
		kept = append(kept, period{group.HistorySince, now})
	}
	for u, m := range memberships {
		spans := m.Seen(u, group)
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

// keepsSince is since when a user keeps history, if at all: whoever deleted the
// account does not, whatever is left of the settings.
func (r *retention) keepsSince(ctx context.Context, u schemas.UserID) (since schemas.Timestamp, keeps bool, err error) {
	settings, err := r.streams.Directory().Settings(ctx, u)
	if err != nil || !settings.KeepsHistory() {
		return 0, false, err
	}
	person, err := r.streams.Directory().Fresh(ctx, u)
	if err != nil || !person.Exists {
		return 0, false, err
	}
	return settings.HistorySince, true, nil
}
