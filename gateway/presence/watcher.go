package presence

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/schemas"
	"roost/streams"
	"roost/streams/bus"
	"roost/streams/presence"
)

const (
	// DefaultGrace is how long a user counts as online after their last session ended: a
	// client that changes networks or gateways is back by then.
	DefaultGrace = 10 * time.Second
	// DefaultRecheck is within what time every watched user is read again, because events
	// may be lost.
	DefaultRecheck = time.Minute
	// recheckSlots divides that time, to spread the reads.
	recheckSlots = 60
)

// Viewer is a connection that watches users. Viewers are compared with ==.
type Viewer interface {
	// User is the user of the connection.
	User() schemas.UserID
	// ShowPresence queues a presence frame. It does not block.
	ShowPresence(frame []byte)
}

// Options of a Watcher.
type Options struct {
	Streams *streams.Conn
	// Grace is how long a user counts as online after their last session ended.
	Grace time.Duration
	// Recheck is within what time every watched user is read again.
	Recheck time.Duration
	// Watched counts the watched users.
	Watched prometheus.Gauge
	Log     *slog.Logger
}

// Watcher knows the presence of the users that the connections of this gateway watch. Run
// reads records; events are merged on the goroutine that reports them.
type Watcher struct {
	opts    Options
	streams *streams.Conn
	watch   bus.SessionWatch
	alive   func(gateway string) bool
	wake    chan struct{} // size 1; wakes Run. If it is full, Run will wake anyway

	mu        sync.Mutex // guards the rest, and all watched
	users     map[schemas.UserID]*watched
	viewing   map[Viewer]map[schemas.UserID]*watched // a viewer that watches no user has no entry
	slots     [recheckSlots]map[*watched]struct{}    // all watched, by when they are read again
	next      int                                    // of slots
	dirty     map[*watched]struct{}                  // to be read at once
	lingering map[*watched]struct{}                  // whose last session ended less than Grace ago
	gateways  map[string]bool                        // gateways with sessions of users: alive at the last look
	turned    map[string]bool                        // gateways whose lease was taken or given up since then
	turnAt    time.Time                              // when Run looks again by itself
}

// Start subscribes to sessions. Run does the rest.
func Start(o Options) *Watcher {
	p := newWatcher(o, o.Streams.Presence().Alive)
	p.watch = o.Streams.Presence().Watch(p)
	return p
}

func newWatcher(o Options, alive func(gateway string) bool) *Watcher {
	p := &Watcher{opts: o, streams: o.Streams, alive: alive, wake: make(chan struct{}, 1),
		users: make(map[schemas.UserID]*watched), viewing: make(map[Viewer]map[schemas.UserID]*watched),
		dirty: make(map[*watched]struct{}), lingering: make(map[*watched]struct{}),
		gateways: make(map[string]bool), turned: make(map[string]bool)}
	for i := range p.slots {
		p.slots[i] = make(map[*watched]struct{})
	}
	return p
}

// rouse wakes Run.
func (p *Watcher) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// look adds users to those that a viewer watches.
func (p *Watcher) look(v Viewer, ids []schemas.UserID) ([]*watched, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := p.viewing[v]
	if mine == nil {
		mine = make(map[schemas.UserID]*watched, len(ids))
		p.viewing[v] = mine
	}
	list := make([]*watched, 0, len(ids))
	for _, u := range ids {
		w := p.users[u]
		if w == nil {
			if err := p.watch.Add(u); err != nil {
				return nil, err
			}
			w = &watched{user: u, slot: rand.N(recheckSlots), viewers: make(map[Viewer]*view, 1),
				sessions: make(map[schemas.DeviceID]schemas.Session, 1)}
			p.users[u] = w
			p.slots[w.slot][w] = struct{}{}
			p.opts.Watched.Inc()
		}
		if w.viewers[v] == nil {
			w.viewers[v] = new(view)
		}
		mine[u] = w
		list = append(list, w)
	}
	return list, nil
}

// Count is how many users a viewer would watch with some more, each named once.
func (p *Watcher) Count(v Viewer, more []schemas.UserID) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.viewing[v])
	for _, u := range more {
		if _, ok := p.viewing[v][u]; !ok {
			n++
		}
	}
	return n
}

// Leave ends that a viewer watches anybody.
func (p *Watcher) Leave(v Viewer) { p.drop(v, func(*watched, *view) bool { return true }) }

// Keep ends that a viewer watches users other than those wanted.
func (p *Watcher) Keep(v Viewer, wanted map[schemas.UserID]bool) {
	p.drop(v, func(w *watched, _ *view) bool { return !wanted[w.user] })
}

// drop ends that a viewer watches the users that match.
func (p *Watcher) drop(v Viewer, match func(*watched, *view) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := p.viewing[v]
	for u, w := range mine {
		if !match(w, w.viewers[v]) {
			continue
		}
		delete(mine, u)
		if delete(w.viewers, v); len(w.viewers) == 0 {
			p.opts.Watched.Dec()
			delete(p.users, u)
			delete(p.slots[w.slot], w)
			delete(p.dirty, w)
			delete(p.lingering, w)
			p.watch.Remove(u)
		}
	}
	if len(mine) == 0 {
		delete(p.viewing, v)
	}
}

var _ presence.Listener = (*Watcher)(nil)

// Session implements [presence.Listener].
func (p *Watcher) Session(e schemas.SessionEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.users[e.UserID]
	if w == nil {
		return
	}
	s := schemas.Session{SessionID: e.SessionID, Gateway: e.Gateway, ConnectedAt: e.Timestamp}
	if !e.Online {
		s = schemas.Session{SessionID: e.SessionID, EndedAt: e.Timestamp}
	}
	p.merge(w, e.DeviceID, s, time.Now())
	w.update(time.Now(), p.alive)
}

// merge merges the known state of a session, and schedules the next look of Run.
func (p *Watcher) merge(w *watched, d schemas.DeviceID, s schemas.Session, now time.Time) {
	w.merge(d, s, now, p.opts.Grace)
	if s.Gateway != "" {
		if _, ok := p.gateways[s.Gateway]; !ok {
			p.gateways[s.Gateway] = p.alive(s.Gateway)
		}
	}
	if w.lingers.After(now) {
		p.lingering[w] = struct{}{}
		if w.lingers.Before(p.turnAt) {
			p.rouse()
		}
	}
}

// UserChanged implements [presence.Listener].
func (p *Watcher) UserChanged(u schemas.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.users[u]; w != nil {
		w.changes++
		p.dirty[w] = struct{}{}
		p.rouse()
	}
}

// Lease implements [presence.Listener].
func (p *Watcher) Lease(gateway string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turned[gateway] = true
	p.rouse()
}

// Gap implements [presence.Listener].
func (p *Watcher) Gap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.users {
		p.dirty[w] = struct{}{}
	}
	p.rouse()
}

// Run reads the users that are due, until ctx ends.
func (p *Watcher) Run(ctx context.Context) {
	defer p.watch.Close()
	step := p.opts.Recheck / recheckSlots
	slotAt := time.Now().Add(step)
	timer := time.NewTimer(step)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-p.wake:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		slotDue := !now.Before(slotAt)
		if slotDue {
			slotAt = now.Add(step)
		}
		if err := p.read(ctx, p.due(now, slotDue)); err != nil && ctx.Err() == nil {
			p.opts.Log.Warn("sessions could not be read; this is retried", "error", err)
		}
		timer.Reset(time.Until(p.turn(slotAt)))
	}
}

// turn is when Run looks again: at slotAt, or when the grace of a user ends.
func (p *Watcher) turn(slotAt time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turnAt = slotAt
	for w := range p.lingering {
		if w.lingers.Before(p.turnAt) {
			p.turnAt = w.lingers
		}
	}
	return p.turnAt
}

// due returns the users to read now. Nobody is shown as offline before their sessions were read
// once more, because the event of a new session may have been lost.
func (p *Watcher) due(now time.Time, slotDue bool) []*watched {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slotDue {
		maps.Copy(p.dirty, p.slots[p.next])
		p.next = (p.next + 1) % recheckSlots
	}
	for w := range p.lingering {
		if !now.Before(w.lingers) {
			delete(p.lingering, w)
			p.dirty[w] = struct{}{}
		}
	}
	p.lookAtGateways()
	due := slices.Collect(maps.Keys(p.dirty))
	clear(p.dirty)
	return due
}

// lookAtGateways marks the users with a session at a gateway that died or came back. It includes
// gateways that did both since the last look: what viewers saw may be from in between.
func (p *Watcher) lookAtGateways() {
	turned := p.turned
	p.turned = make(map[string]bool)
	for g, before := range p.gateways {
		if now := p.alive(g); now != before {
			p.gateways[g], turned[g] = now, true
		}
	}
	if len(turned) == 0 {
		return
	}
	used := make(map[string]bool)
	for _, w := range p.users {
		for _, s := range w.sessions {
			used[s.Gateway] = true
			if turned[s.Gateway] {
				p.dirty[w] = struct{}{}
			}
		}
	}
	maps.DeleteFunc(p.gateways, func(g string, alive bool) bool { return !alive && !used[g] })
}
