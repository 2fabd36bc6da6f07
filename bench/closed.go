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
	Window   int           // unanswered sends of each sender, 1 to 64
	Size     int           // bytes of content, MinContent to MaxContent
	Warmup   time.Duration // load before the measurement
	Duration time.Duration // of the measurement
}

// Closed measures a closed loop: each sender keeps a window of sends unanswered, and sends
// the next one after an answer. Each receiver acknowledges each message.
func Closed(ctx context.Context, env *Env, o ClosedOptions) (Result, error) {
	r := Result{Name: "closed", Title: fmt.Sprintf("closed loop, %d pairs × %d unanswered, %d bytes", o.Pairs, o.Window, o.Size)}
	users, err := env.need(ctx, 2*o.Pairs)
	if err != nil {
		return r, err
	}
	t := newTraffic(env.users)
	t.onAnswer = func(l *link) {
		if t.until.Load() == math.MaxInt64 {
			l.send(partner(users, l.user), o.Size, sinceEpoch())
		}
	}
	c := newCrowd(ctx, env, t)
	err = c.connect(users, connecting)
	if err == nil {
		err = closedLoop(c, users, o, &r)
	}
	t.until.Store(sinceEpoch())
	return r, c.finish(err, users, &r)
}

// closedLoop fills the windows and measures the loops.
func closedLoop(c *crowd, users []*user, o ClosedOptions, r *Result) error {
	for i := 0; i < len(users); i += 2 {
		l := c.link(users[i])
		if l == nil {
			return c.err()
		}
		for range o.Window {
			l.send(users[i+1], o.Size, sinceEpoch())
		}
		_ = l.flush() // the reader gets the error
	}
	return c.span(o.Warmup, o.Duration, r)
}

// span measures the running traffic after a warm-up.
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

// connecting is how many links connect at once by default.
const connecting = 64

// partner returns the other user of a pair: its neighbour by index.
func partner(users []*user, p *user) *user { return users[p.index^1] }

// finish concludes a scenario. After an error it only ends the crowd.
func (c *crowd) finish(err error, users []*user, r *Result) error {
	if err != nil {
		_ = c.close() // err has the cause
		return err
	}
	return c.conclude(users, r)
}
