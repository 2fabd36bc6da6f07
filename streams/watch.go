package streams

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"roost/schemas"
	"roost/streams/subject"
)

// SessionListener hears of what decides who is online. Its methods may be called
// concurrently and must not block.
type SessionListener interface {
	// Session tells that a session of a watched person began or ended.
	Session(e schemas.SessionEvent)
	// Person tells that anybody's devices, settings or blocks changed.
	Person(u schemas.UserID)
	// Lease tells that a gateway took or gave up its lease. Of one that runs out
	// nobody tells: ask [Presence.Alive] now and then.
	Lease(gateway string)
	// Gap tells that some of the above may have been lost.
	Gap()
}

// watchQueue is the size of the queue between NATS and the listener. When it is
// full NATS drops an event and reports a slow consumer, which becomes a gap.
const watchQueue = 16 << 10

// SessionWatch tells a listener of the sessions of some people: a subscription for
// each, one queue and one goroutine for all. Where the process is alone there are
// no subscriptions, and PublishSession calls the listener.
type SessionWatch struct {
	c       *Conn
	to      SessionListener
	queue   chan *nats.Msg // watchQueue; written by NATS, read by run, never closed
	stop    chan struct{}
	stopped chan struct{}

	mu   sync.RWMutex                          // guards subs
	subs map[schemas.UserID]*nats.Subscription // nil ones where the process is alone
}

// WatchSessions starts telling to; a process has one at a time. Close it before
// the Conn.
func (c *Conn) WatchSessions(to SessionListener) *SessionWatch {
	w := &SessionWatch{c: c, to: to, queue: make(chan *nats.Msg, watchQueue), stop: make(chan struct{}),
		stopped: make(chan struct{}), subs: make(map[schemas.UserID]*nats.Subscription)}
	c.watching.Store(w)
	go w.run()
	return w
}

// Close ends all subscriptions. A call to the listener that is under way in another
// goroutine may still finish.
func (w *SessionWatch) Close() {
	w.c.watching.CompareAndSwap(w, nil)
	close(w.stop)
	<-w.stopped
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, sub := range w.subs {
		unsubscribe(sub)
	}
	clear(w.subs)
}

// Add watches a person. Call Settle before reading what is known of them.
func (w *SessionWatch) Add(u schemas.UserID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.subs[u]; ok {
		return nil
	}
	var sub *nats.Subscription
	if !w.c.opts.Alone {
		var err error
		subject := subject.SessionEvent(u)
		if sub, err = w.c.lives.ChanSubscribe(subject, w.queue); err != nil {
			return fmt.Errorf("failed to subscribe to %s: %w", subject, err)
		}
	}
	w.subs[u] = sub
	return nil
}

// Settle returns once the server knows of all subscriptions made before.
func (w *SessionWatch) Settle(ctx context.Context) error {
	if w.c.opts.Alone {
		return nil
	}
	if err := w.c.lives.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("failed to wait for subscriptions: %w", err)
	}
	return nil
}

// Remove ends watching a person.
func (w *SessionWatch) Remove(u schemas.UserID) {
	w.mu.Lock()
	sub := w.subs[u]
	delete(w.subs, u)
	w.mu.Unlock()
	unsubscribe(sub)
}

func unsubscribe(sub *nats.Subscription) {
	if sub != nil {
		_ = sub.Unsubscribe() // fails only where the connection is closed
	}
}

func (w *SessionWatch) run() {
	defer close(w.stopped)
	for {
		select {
		case m := <-w.queue:
			e, err := schemas.Decode[schemas.SessionEvent](m.Data)
			if err != nil || subject.SessionEvent(e.UserID) != m.Subject {
				w.c.log.Warn("an event of a session cannot be read", "subject", m.Subject, "error", err)
				continue
			}
			w.to.Session(e)
		case <-w.stop:
			return
		}
	}
}

// here tells the listener of an event of this process.
func (w *SessionWatch) here(e schemas.SessionEvent) {
	w.mu.RLock()
	_, ok := w.subs[e.UserID]
	w.mu.RUnlock()
	if ok {
		w.to.Session(e)
	}
}

// gap tells the listener where sub is one of its.
func (w *SessionWatch) gap(sub *nats.Subscription) bool {
	if w == nil || !strings.HasPrefix(sub.Subject, subject.SessionEventPrefix) {
		return false
	}
	w.to.Gap()
	return true
}

// tellWatch calls the process's listener, if there is one.
func (c *Conn) tellWatch(tell func(SessionListener)) {
	if w := c.watching.Load(); w != nil {
		tell(w.to)
	}
}
