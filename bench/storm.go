package bench

import (
	"context"
	"fmt"
	"time"
)

// StormOptions are the parameters of [Storm].
type StormOptions struct {
	Devices  int
	Parallel int // connects at once
}

// Storm cuts all connections at once and lets all devices reconnect. The time counts from the
// cut to the last inbox_drained.
func Storm(ctx context.Context, env *Env, o StormOptions) (Result, error) {
	r := Result{Name: "storm", Title: fmt.Sprintf("reconnect storm, %d devices, %d at once", o.Devices, o.Parallel)}
	users, err := env.need(ctx, o.Devices)
	if err != nil {
		return r, err
	}
	c := newCrowd(ctx, env, newTraffic(env.users))
	c.retries = connectRetries
	err = c.storm(users, o, &r)
	if closed := c.close(); err == nil {
		err = closed
	}
	return r, err
}

func (c *crowd) storm(users []*user, o StormOptions, r *Result) error {
	if err := c.connectShown(users, connecting); err != nil {
		return err
	}
	before, err := measure(c.env.server.PIDs)
	if err != nil {
		return err
	}
	c.retried.Store(0)
	c.env.progress("all devices reconnect", 0, 0)
	begin := time.Now()
	c.cut()
	if err := c.connect(users, o.Parallel); err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := measure(c.env.server.PIDs)
	if err != nil {
		return err
	}
	r.Seconds = took.Seconds()
	r.add(FigureConnects, float64(len(users))/took.Seconds(), "/s")
	if len(c.env.server.PIDs) > 0 {
		r.add(FigureConnectCPU, float64(after.cpu-before.cpu)/float64(len(users))/float64(time.Millisecond), "ms")
		r.Notes = append(r.Notes, "the CPU includes the ends of the old connections")
	}
	c.noteRetries(r)
	return nil
}
