package gateway

import (
	"context"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"roost/schemas"
	"roost/streams/subject"
)

const (
	// subscribesPerSecond is how often a session may change its list, after a burst
	// of as many as maxSubscribes; more are read later. The longest list takes 5 frames,
	// twice as many where each byte of an id needs an escape.
	subscribesPerSecond = 1
	maxSubscribes       = 10
	// maxPresenceReads bounds the people that one read is of.
	maxPresenceReads = 256
	// presenceBurst is how many presence frames are queued before there is room for
	// the next ones.
	presenceBurst = 64
)

// presenceSubscribe is the verb presence_subscribe: it replaces whom the session
// looks at, or adds to it, and answers with one presence each.
func (s *session) presenceSubscribe(f *schemas.PresenceSubscribe) {
	if s.subscribes == nil {
		s.subscribes = rate.NewLimiter(subscribesPerSecond, maxSubscribes)
	}
	if s.subscribes.Wait(s.conn.ctx) != nil {
		return // the connection is over
	}
	wanted, ids := make(map[schemas.UserID]bool, len(f.UserIDs)), make([]schemas.UserID, 0, len(f.UserIDs))
	for _, u := range f.UserIDs {
		if !wanted[u] {
			wanted[u] = true
			ids = append(ids, u)
		}
	}
	p := s.server.presences
	if f.Add {
		if n := p.count(s, ids); n > schemas.MaxPresenceUsers {
			s.conn.sendError(schemas.InvalidField("user_ids", "would make a list of %d, at most %d are allowed; the list stays as it was.",
				n, schemas.MaxPresenceUsers), 0)
			return
		}
	}
	if err := p.begin(s, ids); err != nil {
		p.leave(s, func(_ *watched, v *view) bool { return !v.told }) // the earlier list stays
		s.conn.sendError(cannotTell(err), 0)
		return
	}
	if !f.Add {
		p.leave(s, func(w *watched, _ *view) bool { return !wanted[w.user] })
	}
	for some := range slices.Chunk(ids, presenceBurst) {
		if !s.conn.waitForRoom() {
			return
		}
		p.show(s, some)
	}
}

// begin watches people for a session, and learns how they are.
func (p *presences) begin(s *session, ids []schemas.UserID) error {
	ctx, cancel := context.WithTimeout(s.conn.ctx, lookupTimeout)
	defer cancel()
	list, err := p.look(s, ids)
	if err != nil {
		return err
	}
	if err := p.watch.Settle(ctx); err != nil {
		return err
	}
	return p.read(ctx, list)
}

// show tells a session of people that it looks at, whether they changed or not.
func (p *presences) show(s *session, ids []schemas.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, u := range ids {
		w := s.watching[u]
		online, last := w.state(now, p.alive)
		f := w.seenBy(s.addr.User, online, last)
		*w.viewers[s] = view{told: true, last: f}
		s.conn.sendFrame(&f)
	}
}

// read learns anew how people are, and shows what changed to their viewers. Who
// could not be read is dirty afterwards.
func (p *presences) read(ctx context.Context, list []*watched) error {
	for len(list) > 0 {
		n := min(len(list), maxPresenceReads)
		if err := p.readSome(ctx, list[:n]); err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, w := range list {
				if p.people[w.user] == w {
					p.dirty[w] = struct{}{}
				}
			}
			return err
		}
		list = list[n:]
	}
	return nil
}

func (p *presences) readSome(ctx context.Context, list []*watched) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	changes := make([]uint64, len(list))
	p.mu.Lock()
	for i, w := range list {
		changes[i] = w.changes
	}
	p.mu.Unlock()
	users := make([]schemas.UserID, len(list))
	for i, w := range list {
		users[i] = w.user
	}
	people, err := p.streams.Directory().People(ctx, users)
	if err != nil {
		return err
	}
	var devices []subject.Address
	for i, w := range list {
		for _, d := range people[i].Devices {
			devices = append(devices, subject.Address{User: w.user, Device: d.DeviceID})
		}
	}
	sessions, err := p.streams.Presence().Sessions(ctx, devices)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for i, w := range list {
		n := len(people[i].Devices)
		theirs, of := sessions[:n], devices[:n]
		sessions, devices = sessions[n:], devices[n:]
		if p.people[w.user] != w {
			continue // nobody looks any more
		}
		switch {
		case w.changes == changes[i]:
			w.person = people[i]
		case w.person == nil: // they changed meanwhile: better than nothing, and read again
			w.person = people[i]
			fallthrough
		default:
			p.dirty[w] = struct{}{}
			p.rouse()
		}
		for k, s := range theirs {
			p.merge(w, of[k].Device, s, now)
		}
		w.update(now, p.alive)
	}
	return nil
}
