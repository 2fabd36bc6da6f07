package bench

import (
	"context"
	"fmt"
	"math"
	"time"
)

// FanoutOptions are the parameters of [Fanout].
type FanoutOptions struct {
	Groups   int           // with different members
	Members  int           // of each group, one device each, connected
	Window   int           // unanswered sends in each group, 1 to 64
	Size     int           // bytes of content, MinContent to MaxContent
	Warmup   time.Duration // before anything is measured
	Duration time.Duration // of the measurement
}

// Fanout measures groups: one member keeps a window of sends to the group unanswered, and the
// others acknowledge each message. Delivered counts copies, sends count messages.
func Fanout(ctx context.Context, env *Env, o FanoutOptions) (Result, error) {
	r := Result{Name: "fanout", Title: fmt.Sprintf("closed loop, %d groups of %d × %d unanswered, %d bytes", o.Groups, o.Members, o.Window, o.Size)}
	users, err := env.need(ctx, o.Groups*o.Members)
	if err != nil {
		return r, err
	}
	groups := make(map[*user]*group, o.Groups) // by the member that sends
	for i := range o.Groups {
		env.progress("creating groups", i, o.Groups)
		members := users[i*o.Members : (i+1)*o.Members]
		if groups[members[0]], err = env.makeGroup(ctx, members); err != nil {
			return r, err
		}
	}
	t := newTraffic(env.users)
	t.onAnswer = func(l *link) {
		if t.until.Load() == math.MaxInt64 {
			l.sendGroup(groups[l.user], o.Size, sinceEpoch())
		}
	}
	c := newCrowd(ctx, env, t)
	err = c.connect(users, connecting)
	if err == nil {
		err = fanout(c, groups, o, &r)
	}
	t.until.Store(sinceEpoch())
	return r, c.finish(err, users, &r)
}

// fanout fills the windows and measures the loops.
func fanout(c *crowd, groups map[*user]*group, o FanoutOptions, r *Result) error {
	for sender, g := range groups {
		l := c.link(sender)
		if l == nil {
			return c.err()
		}
		for range o.Window {
			l.sendGroup(g, o.Size, sinceEpoch())
		}
		_ = l.flush() // the reader gets the error
	}
	return c.span(o.Warmup, o.Duration, r)
}
