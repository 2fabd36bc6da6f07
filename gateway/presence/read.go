package presence

import (
	"context"
	"time"

	"roost/schemas"
	"roost/streams/subject"
)

const (
	// maxReads bounds the users of one read.
	maxReads = 256
	// readTimeout bounds one read.
	readTimeout = 5 * time.Second
)

// Begin watches users for a viewer, and reads their presence. If it fails, the viewer watches
// the same users as before.
func (p *Watcher) Begin(ctx context.Context, v Viewer, ids []schemas.UserID) error {
	err := p.begin(ctx, v, ids)
	if err != nil {
		p.drop(v, func(_ *watched, seen *view) bool { return !seen.shown })
	}
	return err
}

func (p *Watcher) begin(ctx context.Context, v Viewer, ids []schemas.UserID) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	list, err := p.look(v, ids)
	if err != nil {
		return err
	}
	if err := p.watch.Settle(ctx); err != nil {
		return err
	}
	return p.read(ctx, list)
}

// Show shows a viewer users that it watches, whether or not they changed.
func (p *Watcher) Show(v Viewer, ids []schemas.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, u := range ids {
		w := p.viewing[v][u]
		online, last := w.state(now, p.alive)
		f := w.seenBy(v.User(), online, last)
		*w.viewers[v] = view{shown: true, last: f}
		v.ShowPresence(schemas.EncodeFrame(&f))
	}
}

// read reads the presence of users again, and shows changes to their viewers. Users that could
// not be read are dirty afterwards.
func (p *Watcher) read(ctx context.Context, list []*watched) error {
	for len(list) > 0 {
		n := min(len(list), maxReads)
		if err := p.readSome(ctx, list[:n]); err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, w := range list {
				if p.users[w.user] == w {
					p.dirty[w] = struct{}{}
				}
			}
			return err
		}
		list = list[n:]
	}
	return nil
}

func (p *Watcher) readSome(ctx context.Context, list []*watched) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
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
	people, err := p.streams.Directory().Users(ctx, users)
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
		if p.users[w.user] != w {
			continue // no viewer watches any more
		}
		switch {
		case w.changes == changes[i]:
			w.person = people[i]
		case w.person == nil: // they changed meanwhile: use this until they are read again
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
