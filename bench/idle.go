package bench

import (
	"context"
	"fmt"
	"time"
)

// IdleOptions are the parameters of [Idle].
type IdleOptions struct {
	Devices  int
	Parallel int           // connects at once
	Settle   time.Duration // rest before memory is read, so that garbage of connecting is gone
}

// Idle connects devices that are registered already and have empty inboxes, and
// measures what a connect and a silent connection cost the server. A server that
// was started here is started anew after the registrations, so that their memory
// does not count, nor hide anything.
func Idle(ctx context.Context, env *Env, o IdleOptions) (Result, error) {
	r := Result{Name: "idle", Title: fmt.Sprintf("idle, %d devices", o.Devices)}
	people, err := env.need(ctx, o.Devices)
	if err != nil {
		return r, err
	}
	if env.server.Restart != nil {
		env.progress("starting the server anew", 0, 0)
		if err := env.server.Restart(ctx); err != nil {
			return r, err
		}
	}
	c := newCrowd(ctx, env, newTraffic(env.people))
	c.retries = connectRetries
	err = c.idle(people, o, &r)
	if closed := c.close(); err == nil {
		err = closed
	}
	return r, err
}

// connectRetries is how often a connect is tried again, as a client would.
const connectRetries = 5

func (c *crowd) idle(people []*person, o IdleOptions, r *Result) error {
	if err := c.wait("the server at rest", o.Settle); err != nil {
		return err
	}
	before, err := measure(c.env.server.PIDs)
	if err != nil {
		return err
	}
	if err := c.connectShown(people, o.Parallel); err != nil {
		return err
	}
	connected, err := measure(c.env.server.PIDs)
	if err != nil {
		return err
	}
	if err := c.wait("idle", o.Settle); err != nil {
		return err
	}
	rested, err := measure(c.env.server.PIDs)
	if err != nil {
		return err
	}
	n := float64(len(people))
	took := connected.moment.Sub(before.moment)
	r.Seconds = took.Seconds()
	r.add(FigureConnects, n/took.Seconds(), "/s")
	if len(c.env.server.PIDs) > 0 {
		r.add(FigureConnectCPU, float64(connected.cpu-before.cpu)/n/float64(time.Millisecond), "ms")
		r.add(FigureMemory, float64(rested.rss-before.rss)/n/1024, "KiB")
		r.add(FigureAnonymous, float64(rested.anon-before.anon)/n/1024, "KiB")
		r.add("resident memory before", float64(before.rss)/(1<<20), "MiB")
		r.add("resident memory with all connected", float64(rested.rss)/(1<<20), "MiB")
		r.add("server CPU while idle", (rested.cpu-connected.cpu).Seconds()/rested.moment.Sub(connected.moment).Seconds(), "cores")
	}
	r.Notes = append(r.Notes, "a connect counts from the TCP handshake to inbox_drained; memory is VmRSS, before and after")
	c.noteRetries(r)
	return nil
}

// connectShown connects in sequential batches, so that progress can be shown.
func (c *crowd) connectShown(people []*person, parallel int) error {
	const batch = 500
	for done := 0; done < len(people); done += batch {
		c.env.progress("connecting", done, len(people))
		if err := c.connect(people[done:min(done+batch, len(people))], parallel); err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) noteRetries(r *Result) {
	if n := c.retried.Load(); n > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d connects failed and were tried again", n))
	}
}
