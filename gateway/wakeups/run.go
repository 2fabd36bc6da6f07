package wakeups

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"roost/schemas"
	"roost/streams/bus"
	"roost/streams/group"
)

// Run wakes the members of channels until ctx ends.
func (w *Notifier) Run(ctx context.Context) {
	defer w.stopWatch()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-w.wake:
		case <-ctx.Done():
			return
		}
		again := w.readAgain(ctx)
		due, news, next := w.due(time.Now())
		if again != nil && ctx.Err() == nil {
			w.opts.Log.Warn("the newest messages of channels could not be read; this is retried", "error", again)
			next = time.Now().Add(wakeEvery)
		}
		for _, n := range news {
			w.streams.Bus().PublishChannelNews(n)
		}
		rounds, _ := errgroup.WithContext(ctx)
		rounds.SetLimit(roundsAtOnce)
		for _, n := range due {
			rounds.Go(func() error { w.round(ctx, n); return nil })
		}
		_ = rounds.Wait()
		timer.Reset(time.Until(next))
	}
}

// due takes the wake-ups that are due now, and returns when to look again.
func (w *Notifier) due(now time.Time) (due, publish []bus.ChannelNews, next time.Time) {
	next = now.Add(time.Hour)
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.channels {
		switch {
		case c.due.IsZero():
		case c.due.After(now):
			earlier(c.due)
		default:
			c.due, c.toldAt = time.Time{}, now
			due = append(due, c.news)
		}
		switch at := c.publishedAt.Add(newsEvery); {
		case !c.unpublished:
		case at.After(now):
			earlier(at)
		default:
			c.unpublished, c.publishedAt = false, now
			publish = append(publish, c.news)
		}
	}
	return due, publish, next
}

// round wakes the members of a channel who are connected here and were not woken a moment ago.
func (w *Notifier) round(ctx context.Context, n bus.ChannelNews) {
	running := ctx
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	age := recentMembers
	if n.Changed == "" {
		age = wakeEvery
	}
	g, err := w.streams.Groups().AsOf(ctx, n.Group, n.Changed, age)
	if err != nil {
		if !errors.Is(err, group.ErrNotFound) && running.Err() == nil {
			w.opts.Log.Warn("the members of a channel could not be read; the next message wakes them", "group", n.Group, "error", err)
		}
		return
	}
	users := make([]schemas.UserID, len(g.Members))
	for i, m := range g.Members {
		users[i] = m.UserID
	}
	frame := schemas.EncodeFrame(&schemas.WakeUp{GroupID: n.Group, MessageID: n.MessageID})
	for _, d := range w.toWake(users, n, time.Now()) {
		d.Wake(frame)
		w.opts.Sent.Inc()
	}
}

// toWake returns the connected devices of users that do not know the news. A device that was
// woken for older news less than Again ago, and has not pulled since, is woken later.
func (w *Notifier) toWake(users []schemas.UserID, n bus.ChannelNews, now time.Time) []Device {
	w.mu.Lock()
	defer w.mu.Unlock()
	devices := w.opts.Connected(users...)
	tell := devices[:0]
	for _, d := range devices {
		told := w.woken[d][n.Group]
		switch again := told.at.Add(Again); {
		case told.seq >= n.Sequence:
		case now.Before(again):
			w.schedule(w.of(n.Group), again)
		default:
			w.note(d, n, now)
			tell = append(tell, d)
		}
	}
	return tell
}

// note records for what a device was woken. The caller holds mu.
func (w *Notifier) note(d Device, n bus.ChannelNews, now time.Time) {
	mine := w.woken[d]
	if mine == nil {
		mine = make(map[schemas.GroupID]wokenAt, 1)
		w.woken[d] = mine
	}
	mine[n.Group] = wokenAt{seq: n.Sequence, at: now}
}

// Forget ends that a device is woken, once Connected does not return it any more.
func (w *Notifier) Forget(d Device) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.woken, d)
}

// readAgain reads the newest entries of the channels if news may have been lost.
func (w *Notifier) readAgain(ctx context.Context) error {
	w.mu.Lock()
	gap := w.gap
	w.gap = false
	ids := slices.Collect(maps.Keys(w.channels))
	w.mu.Unlock()
	if !gap || len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	newest, err := w.streams.Channels().Newest(ctx, ids)
	if err != nil {
		w.mu.Lock()
		w.gap = true
		w.mu.Unlock()
		return err
	}
	for _, e := range newest {
		w.News(bus.ChannelNews{Group: e.GroupID, MessageID: e.MessageID, Sequence: e.Sequence})
	}
	return nil
}
