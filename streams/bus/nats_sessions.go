package bus

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"roost/schemas"
	"roost/streams/subject"
)

// sessionQueue is the size of the queue between NATS and the listener of sessions. If it
// is full NATS drops an event and reports a slow consumer, which becomes a gap.
const sessionQueue = 16 << 10

// natsSessions has a subscription for each watched user.
type natsSessions struct {
	b  *NATS
	to SessionListener
	d  *Dispatcher

	mu   sync.Mutex // guards subs
	subs map[schemas.UserID]*nats.Subscription
}

var _ SessionWatch = (*natsSessions)(nil)

// PublishSession implements [Sessions].
func (b *NATS) PublishSession(e schemas.SessionEvent) {
	b.publish(subject.SessionEvent(e.UserID), schemas.Encode(e))
}

// WatchSessions implements [Sessions].
func (b *NATS) WatchSessions(to SessionListener) SessionWatch {
	w := &natsSessions{b: b, to: to, subs: make(map[schemas.UserID]*nats.Subscription)}
	w.d = NewDispatcher(b.nc, sessionQueue, w.dispatch)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions = w
	return w
}

func (w *natsSessions) dispatch(m *nats.Msg) {
	e, err := schemas.Decode[schemas.SessionEvent](m.Data)
	if err != nil || subject.SessionEvent(e.UserID) != m.Subject {
		w.b.log.Warn("an event of a session cannot be read", "subject", m.Subject, "error", err)
		return
	}
	w.to.Session(e)
}

// has reports whether a subscription is one of the watch, which may be nil.
func (w *natsSessions) has(sub *nats.Subscription) bool {
	return w != nil && strings.HasPrefix(sub.Subject, subject.SessionEventPrefix)
}

// Add implements [SessionWatch].
func (w *natsSessions) Add(u schemas.UserID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.subs[u]; ok {
		return nil
	}
	sub, err := w.d.Subscribe(subject.SessionEvent(u))
	if err != nil {
		return err
	}
	w.subs[u] = sub
	return nil
}

// Settle implements [SessionWatch].
func (w *natsSessions) Settle(ctx context.Context) error {
	if err := w.b.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("failed to wait for subscriptions: %w", err)
	}
	return nil
}

// Remove implements [SessionWatch].
func (w *natsSessions) Remove(u schemas.UserID) {
	w.mu.Lock()
	sub := w.subs[u]
	delete(w.subs, u)
	w.mu.Unlock()
	if sub != nil {
		unsubscribe(sub)
	}
}

// Close implements [SessionWatch].
func (w *natsSessions) Close() {
	w.b.mu.Lock()
	if w.b.sessions == w {
		w.b.sessions = nil
	}
	w.b.mu.Unlock()
	w.d.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, sub := range w.subs {
		unsubscribe(sub)
	}
	clear(w.subs)
}
