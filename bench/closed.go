package bench

import (
	"context"
	"fmt"
	"math"
	"time"
)

// ClosedOptions are the parameters of [Closed].
type ClosedOptions struct {
	Pairs    int           // of one sender and one receiver
	Window   int           // sends outstanding of each sender, 1 to 64
	Size     int           // bytes of content, MinContent to MaxContent
	Warmup   time.Duration // before anything is measured
	Duration time.Duration // of the measurement
}

// Closed has each sender keep a window of sends outstanding: an answer lets the
// next one go. Each receiver acknowledges each message.
func Closed(ctx context.Context, env *Env, o ClosedOptions) (Result, error) {
	r := Result{Name: "closed", Title: fmt.Sprintf("closed loop, %d pairs × %d outstanding, %d bytes", o.Pairs, o.Window, o.Size)}
	people, err := env.need(ctx, 2*o.Pairs)
	if err != nil {
		return r, err
	}
	t := newTraffic(env.people)
	t.onAnswer = func(l *link) {
		if t.until.Load() == math.MaxInt64 {
			l.send(partner(people, l.person), o.Size, sinceEpoch())
		}
	}
	c := newCrowd(ctx, env, t)
	err = c.connect(people, connecting)
	if err == nil {
		err = closedLoop(c, people, o, &r)
	}
	t.until.Store(sinceEpoch())
	return r, c.finish(err, people, &r)
}

// closedLoop fills the windows, lets the loops turn and measures them.
func closedLoop(c *crowd, people []*person, o ClosedOptions, r *Result) error {
	for i := 0; i < len(people); i += 2 {
		l := c.link(people[i])
		if l == nil {
			return c.err()
		}
		for range o.Window {
			l.send(people[i+1], o.Size, sinceEpoch())
		}
		_ = l.flush() // the reader finds out
	}
	return c.span(o.Warmup, o.Duration, r)
}

// span measures the traffic that goes on, after a warm-up.
func (c *crowd) span(warmup, duration time.Duration, r *Result) error {
	if err := c.wait("warming up", warmup); err != nil {
		return err
	}
	s, err := c.startSpan()
	if err != nil {
		return err
	}
	c.traffic.from.Store(sinceEpoch())
	if err := c.wait(r.Title, duration); err != nil {
		return err
	}
	c.traffic.until.Store(sinceEpoch())
	return c.endSpan(s, r)
}

// connecting is how many links are opened at once, where nothing else is said.
const connecting = 64

// partner is the other one of a pair: neighbours by index.
func partner(people []*person, p *person) *person { return people[p.index^1] }

// finish concludes a scenario that went well, and ends the crowd of one that did
// not.
func (c *crowd) finish(err error, people []*person, r *Result) error {
	if err != nil {
		_ = c.close() // err says more
		return err
	}
	return c.conclude(people, r)
}
