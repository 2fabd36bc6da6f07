package wakeups

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/schemas"
	"roost/streams"
	"roost/streams/bus"
)

const (
	// wakeEvery is how often the members of a channel are woken at most.
	wakeEvery = time.Second
	// Again is after how long a device that did not pull is woken for a newer message.
	Again = 10 * time.Second
	// newsEvery is how often other gateways get news of a channel at most.
	newsEvery = 100 * time.Millisecond
	// maxChannels bounds the remembered channels. One more evicts those without anything to do.
	maxChannels = 4096
	// roundsAtOnce bounds the channels whose members are looked up at a time.
	roundsAtOnce = 8
	// recentMembers is how old the members may be if the news name no change of them.
	recentMembers = time.Minute
	// readTimeout bounds what a round reads.
	readTimeout = 5 * time.Second
)

// Device is a connected device. Devices are compared with ==.
type Device interface {
	// Wake queues a wake-up. It does not block.
	Wake(frame []byte)
}

// Options of a Notifier.
type Options struct {
	Streams *streams.Conn
	// Connected returns the devices of users that are connected to this gateway. It is called
	// with a lock held, and must not call the Notifier.
	Connected func(users ...schemas.UserID) []Device
	// PushLimit is how many members a group has at most before it is a channel.
	PushLimit int
	// Sent counts wake-ups.
	Sent prometheus.Counter
	Log  *slog.Logger
}

// Notifier wakes the devices of this gateway when a channel has new messages: one frame, and
// no more until the device has pulled or some time has passed.
type Notifier struct {
	opts      Options
	streams   *streams.Conn
	stopWatch func()
	wake      chan struct{} // size 1; wakes Run. If it is full, Run will wake anyway

	mu       sync.Mutex // guards the rest
	channels map[schemas.GroupID]*wakeChannel
	woken    map[Device]map[schemas.GroupID]wokenAt // a device that was never woken has no entry
	gap      bool                                   // news may have been lost
}

// wakeChannel is the known state of a channel.
type wakeChannel struct {
	news        bus.ChannelNews // the newest
	due         time.Time       // when members are woken next; zero: when there is news
	toldAt      time.Time       // when they were woken last
	publishedAt time.Time       // when other gateways got news last
	unpublished bool            // of news
}

// wokenAt is for what a device was woken last in a channel.
type wokenAt struct {
	seq uint64    // of the newest entry that it was woken for
	at  time.Time // when; zero after the user has pulled
}

// Start subscribes to the news of channels. Run does the rest.
func Start(o Options) (*Notifier, error) {
	w := &Notifier{opts: o, streams: o.Streams, wake: make(chan struct{}, 1),
		channels: make(map[schemas.GroupID]*wakeChannel), woken: make(map[Device]map[schemas.GroupID]wokenAt)}
	var err error
	w.stopWatch, err = o.Streams.Channels().Watch(w)
	return w, err
}

// of returns the entry of a channel, and creates it if there is none. The caller holds mu.
func (w *Notifier) of(id schemas.GroupID) *wakeChannel {
	c := w.channels[id]
	if c == nil {
		if len(w.channels) >= maxChannels {
			maps.DeleteFunc(w.channels, func(_ schemas.GroupID, c *wakeChannel) bool { return c.due.IsZero() && !c.unpublished })
		}
		c = new(wakeChannel)
		w.channels[id] = c
	}
	return c
}

// Committed takes news of an entry that this gateway stored, before it answers the sender, and
// publishes them to the other gateways.
func (w *Notifier) Committed(n bus.ChannelNews) {
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
		w.streams.Bus().PublishChannelNews(n)
	} else {
		w.rouse()
	}
}

var _ bus.ChannelListener = (*Notifier)(nil)

// News implements [bus.ChannelListener].
func (w *Notifier) News(n bus.ChannelNews) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.of(n.Group)
	// A read of the newest entry, as for a device that connects, may be faster, and does not
	// know the change of members that was the latest.
	n.Changed = max(n.Changed, c.news.Changed)
	if n.Sequence <= c.news.Sequence {
		c.news.Changed = n.Changed
		return
	}
	c.news = n
	w.schedule(c, c.toldAt.Add(wakeEvery))
}

// schedule has the members woken at a time, or before. The caller holds mu.
func (w *Notifier) schedule(c *wakeChannel, at time.Time) {
	if c.due.IsZero() || at.Before(c.due) {
		c.due = at
		w.rouse()
	}
}

// Gap implements [bus.ChannelListener].
func (w *Notifier) Gap() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gap = true
	w.rouse()
}

// rouse wakes Run.
func (w *Notifier) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Newest implements [pages.News].
func (w *Notifier) Newest(id schemas.GroupID) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.channels[id]; c != nil {
		return c.news.Sequence
	}
	return 0
}

// Pulled reports that a user has seen the newest messages of a channel: their devices may be
// woken for the next message at once.
func (w *Notifier) Pulled(u schemas.UserID, id schemas.GroupID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	stale := false
	for _, d := range w.opts.Connected(u) {
		told, ok := w.woken[d][id]
		if !ok {
			continue
		}
		told.at = time.Time{}
		w.woken[d][id] = told
		stale = stale || w.channels[id] != nil && told.seq < w.channels[id].news.Sequence
	}
	if stale {
		c := w.channels[id]
		w.schedule(c, c.toldAt.Add(wakeEvery))
	}
}
