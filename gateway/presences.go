package gateway

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
)

const (
	// presenceGrace is how long a person counts as online after their last session
	// ended: who changes networks or gateways is back by then.
	presenceGrace = 10 * time.Second
	// presenceRecheck is within what time everybody who is watched is read again,
	// for events may be lost.
	presenceRecheck = time.Minute
	// presenceSlots parts that time, so that reads spread over it.
	presenceSlots = 60
)

// presences is whom the connections of this gateway look at. One goroutine, run,
// reads what has to be read; events are taken where they come.
type presences struct {
	streams        *streams.Conn
	log            *slog.Logger
	grace, recheck time.Duration
	watch          bus.SessionWatch
	watched        prometheus.Gauge
	wake           chan struct{} // 1 long; written by who has news for run; when full it is awake already

	mu        sync.Mutex // guards the rest, and what is in it
	people    map[schemas.UserID]*watched
	slots     [presenceSlots]map[*watched]struct{} // everybody, by when they are read again
	next      int                                  // of slots
	dirty     map[*watched]struct{}                // to be read at once
	lingering map[*watched]struct{}                // whose last session ended a moment ago
	gateways  map[string]bool                      // that hold sessions of people: alive at the last look
	turned    map[string]bool                      // of which a lease was taken or given up since then
	turnAt    time.Time                            // when run looks again by itself
}

// startPresences starts listening; run does the rest.
func startPresences(o *Options, gauge prometheus.Gauge) *presences {
	p := &presences{streams: o.Streams, watched: gauge, log: o.Log, grace: o.PresenceGrace, recheck: o.PresenceRecheck,
		wake: make(chan struct{}, 1), people: make(map[schemas.UserID]*watched), dirty: make(map[*watched]struct{}),
		lingering: make(map[*watched]struct{}), gateways: make(map[string]bool),
		turned: make(map[string]bool)}
	for i := range p.slots {
		p.slots[i] = make(map[*watched]struct{})
	}
	p.watch = o.Streams.WatchSessions(p)
	return p
}

func (p *presences) alive(gateway string) bool { return p.streams.Presence().Alive(gateway) }

func (p *presences) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// look adds a viewer to people. Those that it looked at before stay.
func (p *presences) look(s *session, ids []schemas.UserID) ([]*watched, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.watching == nil {
		s.watching = make(map[schemas.UserID]*watched, len(ids))
	}
	list := make([]*watched, 0, len(ids))
	for _, u := range ids {
		w := p.people[u]
		if w == nil {
			if err := p.watch.Add(u); err != nil {
				return nil, err
			}
			w = &watched{user: u, slot: rand.N(presenceSlots), viewers: make(map[*session]*view, 1),
				sessions: make(map[schemas.DeviceID]schemas.Session, 1)}
			p.people[u] = w
			p.slots[w.slot][w] = struct{}{}
			p.watched.Inc()
		}
		if w.viewers[s] == nil {
			w.viewers[s] = new(view)
		}
		s.watching[u] = w
		list = append(list, w)
	}
	return list, nil
}

// count is how many people a session would look at with some more, each named once.
func (p *presences) count(s *session, more []schemas.UserID) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(s.watching)
	for _, u := range more {
		if _, ok := s.watching[u]; !ok {
			n++
		}
	}
	return n
}

// leave takes a viewer off those people for whom drop says so.
func (p *presences) leave(s *session, drop func(*watched, *view) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for u, w := range s.watching {
		if !drop(w, w.viewers[s]) {
			continue
		}
		delete(s.watching, u)
		if delete(w.viewers, s); len(w.viewers) == 0 {
			p.watched.Dec()
			delete(p.people, u)
			delete(p.slots[w.slot], w)
			delete(p.dirty, w)
			delete(p.lingering, w)
			p.watch.Remove(u)
		}
	}
	if len(s.watching) == 0 {
		s.watching = nil
	}
}

var _ streams.SessionListener = (*presences)(nil)

// Session implements [streams.SessionListener].
func (p *presences) Session(e schemas.SessionEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.people[e.UserID]
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

// merge takes what is known of a session, and has run look when that says more.
func (p *presences) merge(w *watched, d schemas.DeviceID, s schemas.Session, now time.Time) {
	w.merge(d, s, now, p.grace)
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

// Person implements [streams.SessionListener].
func (p *presences) Person(u schemas.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.people[u]; w != nil {
		w.changes++
		p.dirty[w] = struct{}{}
		p.rouse()
	}
}

// Lease implements [streams.SessionListener].
func (p *presences) Lease(gateway string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turned[gateway] = true
	p.rouse()
}

// Gap implements [streams.SessionListener].
func (p *presences) Gap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.people {
		p.dirty[w] = struct{}{}
	}
	p.rouse()
}

// run reads again who is due, until ctx ends.
func (p *presences) run(ctx context.Context) {
	defer p.watch.Close()
	step := p.recheck / presenceSlots
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
			p.log.Warn("sessions could not be read; it is tried again", "error", err)
		}
		timer.Reset(time.Until(p.turn(slotAt)))
	}
}

// turn is when run looks again: at slotAt, or when somebody has lingered long enough.
func (p *presences) turn(slotAt time.Time) time.Time {
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

// due are the people to be read now. Nobody is shown as offline before their
// sessions were read once more: the event of a begin may have been lost.
func (p *presences) due(now time.Time, slotDue bool) []*watched {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slotDue {
		maps.Copy(p.dirty, p.slots[p.next])
		p.next = (p.next + 1) % presenceSlots
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

// lookAtGateways marks whose session is at a gateway that died or came back; also one
// that did both since the last look, for somebody may have been shown by what was in
// between.
func (p *presences) lookAtGateways() {
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
	for _, w := range p.people {
		for _, s := range w.sessions {
			used[s.Gateway] = true
			if turned[s.Gateway] {
				p.dirty[w] = struct{}{}
			}
		}
	}
	maps.DeleteFunc(p.gateways, func(g string, alive bool) bool { return !alive && !used[g] })
}
