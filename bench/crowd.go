package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// crowd is the set of links of a scenario. close ends it. A link that breaks ends the context
// of the crowd, with the cause.
type crowd struct {
	// Static.
	env     *Env
	traffic *traffic
	ctx     context.Context
	retries int // of a failed connect, with growing pauses
	cancel  context.CancelCauseFunc
	wg      sync.WaitGroup // readers, heartbeats

	retried atomic.Int64

	mu    sync.Mutex // guards links
	links map[*user]*link
}

// heartbeatEvery is the interval of the look for silent links.
const heartbeatEvery = time.Second

func newCrowd(ctx context.Context, env *Env, t *traffic) *crowd {
	c := &crowd{env: env, traffic: t, links: make(map[*user]*link)}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	c.wg.Go(c.heartbeats)
	return c
}

// connect connects users, parallel at a time, and returns after all inboxes are drained.
func (c *crowd) connect(users []*user, parallel int) error {
	group, ctx := errgroup.WithContext(c.ctx)
	group.SetLimit(parallel)
	for _, p := range users {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			return c.persist(ctx, p)
		})
	}
	err := group.Wait()
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return err
}

// persist is join with retries.
func (c *crowd) persist(ctx context.Context, p *user) error {
	pause := 100 * time.Millisecond
	for try := 0; ; try++ {
		_, err := c.join(ctx, p)
		if err == nil || try == c.retries || ctx.Err() != nil {
			return err
		}
		c.retried.Add(1)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// join connects one user, waits until the inbox is drained, and starts the reader.
func (c *crowd) join(ctx context.Context, p *user) (*link, error) {
	l, err := dial(ctx, c.env.endpoint(p.index), p, c.traffic)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.conn.Close() })
	err = l.untilDrained()
	if !stop() || err != nil {
		_ = l.conn.Close()
		return nil, errors.Join(err, ctx.Err())
	}
	c.mu.Lock()
	c.links[p] = l
	c.mu.Unlock()
	c.wg.Go(func() {
		defer close(l.ended)
		err := l.read()
		_ = l.conn.Close()
		p.connectedFor(period{l.since, sinceEpoch()})
		c.mu.Lock()
		if c.links[p] == l {
			delete(c.links, p)
		}
		c.mu.Unlock()
		if err != nil {
			c.cancel(err)
		}
	})
	return l, nil
}

// link returns the connection of a user, or nil.
func (c *crowd) link(p *user) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.links[p]
}

func (c *crowd) all() []*link {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*link, 0, len(c.links))
	for _, l := range c.links {
		list = append(list, l)
	}
	return list
}

// heartbeats keeps silent links alive.
func (c *crowd) heartbeats() {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		now := sinceEpoch()
		for _, l := range c.all() {
			if now-l.spoke.Load() > int64(l.beat)-int64(2*heartbeatEvery) && !l.leaving.Load() {
				_ = l.heartbeat() // the reader gets the error
			}
		}
	}
}

// close ends all links in order and waits for them. It returns the error of a link that broke
// before.
func (c *crowd) close() error {
	err := c.err()
	for _, l := range c.all() {
		l.leave()
	}
	c.cancel(nil)
	c.wg.Wait()
	return err
}

// cut drops all links at once.
func (c *crowd) cut() {
	for _, l := range c.all() {
		l.cut()
	}
}

// err returns the error of a link that broke, or of the end of the run; else nil.
func (c *crowd) err() error {
	if c.ctx.Err() == nil {
		return nil
	}
	return context.Cause(c.ctx)
}

// wait waits for d and shows the progress.
func (c *crowd) wait(what string, d time.Duration) error {
	if d <= 0 {
		return c.err()
	}
	begin := time.Now()
	tick := time.NewTicker(min(d, 200*time.Millisecond))
	defer tick.Stop()
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		case <-end.C:
			c.env.progress(what, int(d/time.Millisecond), int(d/time.Millisecond))
			return nil
		case <-tick.C:
			c.env.progress(what, int(time.Since(begin)/time.Millisecond), int(d/time.Millisecond))
		}
	}
}

// pollInterval is the pause between two looks at pending messages.
const pollInterval = 20 * time.Millisecond

// quiet waits until every send is answered and every accepted message has arrived, at most
// for the given time. The check counts the rest.
func (c *crowd) quiet(users []*user, most time.Duration) error {
	deadline := time.Now().Add(most)
	for {
		var open int64
		for _, p := range users {
			unanswered, missing := p.pending()
			open += unanswered + missing
		}
		if open == 0 || time.Now().After(deadline) {
			return c.err()
		}
		select {
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		case <-time.After(pollInterval):
		}
	}
}

// mostNamed bounds the missing messages that a report names.
const mostNamed = 5

// missing names accepted messages that have not arrived, and says whether their receiver is
// connected: if not, the server is not at fault.
func (c *crowd) missing(users []*user) (notes []string) {
	for _, p := range users {
		for _, lost := range p.missing() {
			to := c.traffic.users[lost.to]
			where := "connected"
			if c.link(to) == nil {
				where = "not connected"
			}
			if notes = append(notes, fmt.Sprintf("missing: number %d of %s to %s, which is %s", lost.number, p.id, to.id, where)); len(notes) == mostNamed {
				return notes
			}
		}
	}
	return notes
}
