package bench

import (
	"context"
	"fmt"
	"math"
	"time"
)

// FanoutOptions are the parameters of [Fanout].
type FanoutOptions struct {
	Groups   int           // of different people
	Members  int           // of each group, one device each, connected
	Window   int           // sends outstanding in each group, 1 to 64
	Size     int           // bytes of content, MinContent to MaxContent
	Warmup   time.Duration // before anything is measured
	Duration time.Duration // of the measurement
}

// Fanout has one member of each group keep a window of sends to it outstanding.
// The others acknowledge each message. Delivered are copies, sends are messages.
func Fanout(ctx context.Context, env *Env, o FanoutOptions) (Result, error) {
	r := Result{Name: "fanout", Title: fmt.Sprintf("closed loop, %d groups of %d × %d outstanding, %d bytes", o.Groups, o.Members, o.Window, o.Size)}
	people, err := env.need(ctx, o.Groups*o.Members)
	if err != nil {
		return r, err
	}
	groups := make(map[*person]*group, o.Groups) // by the member who sends
	for i := range o.Groups {
		env.progress("making groups", i, o.Groups)
		members := people[i*o.Members : (i+1)*o.Members]
		if groups[members[0]], err = env.makeGroup(ctx, members); err != nil {
			return r, err
		}
	}
	t := newTraffic(env.people)
	t.onAnswer = func(l *link) {
		if t.until.Load() == math.MaxInt64 {
			l.sendGroup(groups[l.person], o.Size, sinceEpoch())
		}
	}
	c := newCrowd(ctx, env, t)
	err = c.connect(people, connecting)
	if err == nil {
		err = fanout(c, groups, o, &r)
	}
	t.until.Store(sinceEpoch())
	return r, c.finish(err, people, &r)
}

// fanout fills the windows, lets the loops turn and measures them.
func fanout(c *crowd, groups map[*person]*group, o FanoutOptions, r *Result) error {
	for sender, g := range groups {
		l := c.link(sender)
		if l == nil {
			return c.err()
		}
		for range o.Window {
			l.sendGroup(g, o.Size, sinceEpoch())
		}
		_ = l.flush() // the reader finds out
	}
	return c.span(o.Warmup, o.Duration, r)
}
