package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// DrainOptions are the parameters of [Drain] and [DrainMany].
type DrainOptions struct {
	Devices int // with a backlog
	Backlog int // messages of each
	Size    int
}

// backlogWindow is how many sends are unanswered while backlogs are made; backlogSenders is
// how many users send them.
const (
	backlogWindow  = 32
	backlogSenders = 20
)

// Drain measures the time of one device from the TCP handshake to inbox_drained after its
// backlog, one device after the other.
func Drain(ctx context.Context, env *Env, o DrainOptions) (Result, error) {
	r := Result{Name: "drain", Title: fmt.Sprintf("a backlog of %d for one device, %d times", o.Backlog, o.Devices)}
	return r, drain(ctx, env, o, &r, func(c *crowd, users []*user) error {
		took := newLatency()
		for i, p := range users {
			c.env.progress(r.Title, i, len(users))
			before, begin := c.traffic.delivered.Load(), time.Now()
			if _, err := c.join(c.ctx, p); err != nil {
				return err
			}
			took.record(int64(time.Since(begin)))
			if got := c.traffic.delivered.Load() - before; got < int64(o.Backlog) {
				r.Notes = append(r.Notes, fmt.Sprintf("a device got inbox_drained after %d of %d", got, o.Backlog))
			}
		}
		s := took.summary()
		r.add(FigureBacklog, s.P50, "ms")
		r.add("connect to drained, slowest", s.Max, "ms")
		return nil
	})
}

// DrainMany measures how fast many devices drain their backlogs.
func DrainMany(ctx context.Context, env *Env, o DrainOptions) (Result, error) {
	r := Result{Name: "drain many", Title: fmt.Sprintf("a backlog of %d each for %d devices", o.Backlog, o.Devices)}
	return r, drain(ctx, env, o, &r, func(c *crowd, users []*user) error {
		s, err := c.startSpan()
		if err != nil {
			return err
		}
		begin := time.Now()
		if err := c.connect(users, connecting); err != nil {
			return err
		}
		r.add(FigureConnects, float64(len(users))/time.Since(begin).Seconds(), "/s")
		return c.endSpan(s, &r)
	})
}

// drain makes the backlogs and measures their drain.
func drain(ctx context.Context, env *Env, o DrainOptions, r *Result, measured func(*crowd, []*user) error) error {
	users, err := env.need(ctx, backlogSenders+o.Devices)
	if err != nil {
		return err
	}
	senders, receivers := users[:backlogSenders], users[backlogSenders:]
	total := o.Devices * o.Backlog
	var next atomic.Int64
	t := newTraffic(env.users)
	t.onAnswer = func(l *link) {
		if i := int(next.Add(1)) - 1; i < total {
			l.send(receivers[i%len(receivers)], o.Size, sinceEpoch())
		}
	}
	c := newCrowd(ctx, env, t)
	err = c.connect(senders, connecting)
	for _, p := range senders {
		l := c.link(p)
		if l == nil {
			break // err has the cause
		}
		for range backlogWindow {
			t.onAnswer(l)
		}
		_ = l.flush() // the reader gets the error
	}
	if err == nil {
		err = c.until("making backlogs", total, func() int64 { return t.accepted.Load() + t.refused.Load() })
	}
	if err == nil {
		err = measured(c, receivers)
	}
	return c.finish(err, users, r)
}

// until waits for a count and shows it as progress.
func (c *crowd) until(what string, total int, count func() int64) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		done := count()
		c.env.progress(what, int(done), total)
		if done >= int64(total) {
			return nil
		}
		select {
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		case <-tick.C:
		}
	}
}
