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
	Settle   time.Duration // rest before memory is read, to collect the garbage of the connects
}

// Idle connects registered devices with empty inboxes, and measures the cost of a connect
// and of a silent connection. If the bench started the server, it restarts it after the
// registrations, so that their memory does not count.
func Idle(ctx context.Context, env *Env, o IdleOptions) (Result, error) {
	r := Result{Name: "idle", Title: fmt.Sprintf("idle, %d devices", o.Devices)}
	users, err := env.need(ctx, o.Devices)
	if err != nil {
		return r, err
	}
	if env.server.Restart != nil {
		env.progress("restarting the server", 0, 0)
		if err := env.server.Restart(ctx); err != nil {
			return r, err
		}
	}
	c := newCrowd(ctx, env, newTraffic(env.users))
	c.retries = connectRetries
	err = c.idle(users, o, &r)
	if closed := c.close(); err == nil {
		err = closed
	}
	return r, err
}

// connectRetries bounds the retries of a connect, as a client would retry.
const connectRetries = 5

func (c *crowd) idle(users []*user, o IdleOptions, r *Result) error {
	if err := c.wait("the server at rest", o.Settle); err != nil {
		return err
	}
	before, err := measure(c.env.server.PIDs)
	if err != nil {
		return err
	}
	if err := c.connectShown(users, o.Parallel); err != nil {
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
	n := float64(len(users))
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

// connectShown connects in batches, to show the progress.
func (c *crowd) connectShown(users []*user, parallel int) error {
	const batch = 500
	for done := 0; done < len(users); done += batch {
		c.env.progress("connecting", done, len(users))
		if err := c.connect(users[done:min(done+batch, len(users))], parallel); err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) noteRetries(r *Result) {
	if n := c.retried.Load(); n > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d connects failed and were retried", n))
	}
}
