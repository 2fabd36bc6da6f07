package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"roost/gateway/pages"
	"roost/schemas"
	"roost/streams"
	"roost/streams/bus"
)

const (
	// wakeEvery is how often members of a channel are told of its messages at most.
	wakeEvery = time.Second
	// wakeAgain is after how long a person who did not pull is told of a newer message.
	wakeAgain = 10 * time.Second
	// newsEvery is how often other gateways are told of a channel's messages at most.
	newsEvery = 100 * time.Millisecond
	// maxWakes bounds the channels that are remembered; beyond, those of which there is
	// nothing to tell go.
	maxWakes = 4096
	// roundsAtOnce bounds the channels whose members are looked up at a time.
	roundsAtOnce = 8
)

// wakes tells the connections of this gateway that a channel has something new: one
// frame, and no more until the person has pulled or a while has passed. One goroutine,
// run, looks for those who are to be told.
type wakes struct {
	server    *Server
	stopWatch func()
	sent      prometheus.Counter
	wake      chan struct{} // 1 long; written by who has news for run; when full it is awake already

	mu       sync.Mutex // guards the rest
	channels map[schemas.GroupID]*wakeChannel
	gap      bool // news may have been lost
}

// wakeChannel is what is known of a channel.
type wakeChannel struct {
	news        bus.ChannelNews // the newest
	due         time.Time       // when members are told next; zero: when there is news
	toldAt      time.Time       // when they were told last
	publishedAt time.Time       // when other gateways were told last
	unpublished bool            // of news
}

// wokenAt is what a connection was told of a channel.
type wokenAt struct {
	seq uint64    // of the newest entry that it was told of
	at  time.Time // when; zero once the person has pulled
}

func startWakes(s *Server) (*wakes, error) {
	w := &wakes{server: s, sent: s.metrics.wakeUps, wake: make(chan struct{}, 1), channels: make(map[schemas.GroupID]*wakeChannel)}
	var err error
	w.stopWatch, err = s.streams.WatchChannels(w)
	return w, err
}

// of is the entry of a channel, made where there is none. It needs mu.
func (w *wakes) of(id schemas.GroupID) *wakeChannel {
	c := w.channels[id]
	if c == nil {
		if len(w.channels) >= maxWakes {
			maps.DeleteFunc(w.channels, func(_ schemas.GroupID, c *wakeChannel) bool { return c.due.IsZero() && !c.unpublished })
		}
		c = new(wakeChannel)
		w.channels[id] = c
	}
	return c
}

// committed hears of an entry that this gateway has stored, before its sender is
// answered, and tells the others.
func (w *wakes) committed(n bus.ChannelNews) {
	w.News(n)
	now := time.Now()
	w.mu.Lock()
	c := w.of(n.Group)
	publish := now.Sub(c.publishedAt) >= newsEvery
	if publish {
		c.publishedAt, c.unpublished = now, false
	} else {
		c.unpublished = true
	}
	n = c.news
	w.mu.Unlock()
	if publish {
		w.server.streams.Bus().PublishChannelNews(n)
	} else {
		w.rouse()
	}
}

var _ bus.ChannelListener = (*wakes)(nil)

// News implements [bus.ChannelListener].
func (w *wakes) News(n bus.ChannelNews) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.of(n.Group)
	// Whoever reads the newest entry, as for a device that connects, does not know by
	// which change it was sent, and may be faster.
	n.Changed = max(n.Changed, c.news.Changed)
	if n.Sequence <= c.news.Sequence {
		c.news.Changed = n.Changed
		return
	}
	c.news = n
	w.schedule(c, c.toldAt.Add(wakeEvery))
}

// schedule has members told at a time, or before. It needs mu.
func (w *wakes) schedule(c *wakeChannel, at time.Time) {
	if c.due.IsZero() || at.Before(c.due) {
		c.due = at
		w.rouse()
	}
}

// Gap implements [bus.ChannelListener].
func (w *wakes) Gap() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gap = true
	w.rouse()
}

func (w *wakes) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Newest implements [pages.News].
func (w *wakes) Newest(id schemas.GroupID) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.channels[id]; c != nil {
		return c.news.Sequence
	}
	return 0
}

// pulled hears that a person has seen what a channel has: their connections may be told
// of the next message at once.
func (w *wakes) pulled(u schemas.UserID, id schemas.GroupID) {
	sessions := w.server.sessionsOf(u)
	w.mu.Lock()
	defer w.mu.Unlock()
	behind := false
	for _, s := range sessions {
		told, ok := s.woken[id]
		if !ok {
			continue
		}
		told.at = time.Time{}
		s.woken[id] = told
		behind = behind || w.channels[id] != nil && told.seq < w.channels[id].news.Sequence
	}
	if behind {
		c := w.channels[id]
		w.schedule(c, c.toldAt.Add(wakeEvery))
	}
}

// run tells who is to be told, until ctx ends.
func (w *wakes) run(ctx context.Context) {
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
			w.server.log.Warn("the newest messages of channels could not be read; it is tried again", "error", again)
			next = time.Now().Add(wakeEvery)
		}
		for _, n := range news {
			w.server.streams.Bus().PublishChannelNews(n)
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

// due takes what is due now, and says when to look again.
func (w *wakes) due(now time.Time) (due, publish []bus.ChannelNews, next time.Time) {
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

// round tells the members of a channel who are connected here, and were not told
// a moment ago.
func (w *wakes) round(ctx context.Context, n bus.ChannelNews) {
	running := ctx
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	age := groupAge
	if n.Changed == "" {
		age = wakeEvery
	}
	group, err := w.server.streams.Groups().AsOf(ctx, n.Group, n.Changed, age)
	if err != nil {
		if !errors.Is(err, streams.ErrNoGroup) && running.Err() == nil {
			w.server.log.Warn("the members of a channel could not be read; the next message wakes them", "group", n.Group, "error", err)
		}
		return
	}
	users := make([]schemas.UserID, len(group.Members))
	for i, m := range group.Members {
		users[i] = m.UserID
	}
	sessions := w.server.sessionsOf(users...)
	frame := schemas.EncodeFrame(&schemas.WakeUp{GroupID: n.Group, MessageID: n.MessageID})
	for _, s := range w.toTell(sessions, n, time.Now()) {
		s.Frame(frame)
		w.sent.Inc()
	}
}

// toTell are the sessions that do not know of the news. Who was told of older news a
// while ago, and has not pulled since, is told when that while is over.
func (w *wakes) toTell(sessions []*session, n bus.ChannelNews, now time.Time) []*session {
	w.mu.Lock()
	defer w.mu.Unlock()
	tell := sessions[:0]
	for _, s := range sessions {
		told := s.woken[n.Group]
		switch again := told.at.Add(wakeAgain); {
		case told.seq >= n.Sequence:
		case now.Before(again):
			w.schedule(w.of(n.Group), again)
		default:
			s.told(n, now)
			tell = append(tell, s)
		}
	}
	return tell
}

// told notes what a connection was told of; it needs wakes.mu.
func (s *session) told(n bus.ChannelNews, now time.Time) {
	if s.woken == nil {
		s.woken = make(map[schemas.GroupID]wokenAt, 1)
	}
	s.woken[n.Group] = wokenAt{seq: n.Sequence, at: now}
}

// readAgain looks for what news were lost, where some may have been.
func (w *wakes) readAgain(ctx context.Context) error {
	w.mu.Lock()
	gap := w.gap
	w.gap = false
	ids := slices.Collect(maps.Keys(w.channels))
	w.mu.Unlock()
	if !gap || len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	newest, err := w.server.streams.NewestInChannels(ctx, ids)
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

// sessionsOf are the connections of some people here, once their hello was answered or
// is about to be.
func (s *Server) sessionsOf(users ...schemas.UserID) (all []*session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range users {
		for _, c := range s.byUser[u] {
			if c.session != nil {
				all = append(all, c.session)
			}
		}
	}
	return all
}

// join makes a session one of sessionsOf.
func (s *Server) join(session *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session.conn.session = session
}

// wakeForAll tells a device that connects of the channels of its user that have
// messages. Which of them are new it knows itself.
func (s *session) wakeForAll(ctx context.Context) {
	if err := s.wakeForEach(ctx); err != nil {
		s.server.log.Warn("channels could not be read; their next message wakes the device", "error", err)
	}
}

func (s *session) wakeForEach(ctx context.Context) error {
	if some, err := s.server.streams.AnyChannel(ctx, time.Second); err != nil || !some {
		return err
	}
	groups, err := s.server.streams.ChannelGroups(ctx, s.addr.User, s.server.opts.GroupPushLimit, schemas.MaxWakeUps)
	if err != nil || len(groups) == 0 {
		return err
	}
	ids := make([]schemas.GroupID, len(groups))
	for i, g := range groups {
		ids[i] = g.GroupID
	}
	newest, err := s.server.streams.NewestInChannels(ctx, ids)
	if err != nil {
		return err
	}
	w := s.server.wakes
	for _, e := range newest {
		group := groups[slices.Index(ids, e.GroupID)]
		if !pages.Sees(group, s.addr.User, &e.Message) {
			continue
		}
		n := bus.ChannelNews{Group: e.GroupID, MessageID: e.MessageID, Sequence: e.Sequence}
		w.News(n)
		w.mu.Lock()
		heard := s.woken[n.Group].seq >= n.Sequence
		if !heard {
			s.told(n, time.Time{}) // so that it hears of the next one at once
		}
		w.mu.Unlock()
		if heard {
			continue
		}
		s.conn.sendFrame(&schemas.WakeUp{GroupID: e.GroupID, MessageID: e.MessageID})
		w.sent.Inc()
	}
	return nil
}
