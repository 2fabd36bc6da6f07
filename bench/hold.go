package bench

import (
	"context"
	"fmt"
)

// HoldOptions are the parameters of [Hold].
type HoldOptions struct {
	Prefix  string // of the user ids
	Devices int
}

// Hold connects devices of new users and keeps them connected until ctx ends. It calls ready
// after the last connect. With it one machine connects more devices than one process may
// have files.
func Hold(ctx context.Context, s *Server, o HoldOptions, ready func()) error {
	env := NewEnv(s, nil)
	env.prefix = o.Prefix
	if err := env.name(o.Devices); err != nil {
		return err
	}
	c := newCrowd(ctx, env, newTraffic(env.users))
	c.retries = connectRetries
	err := c.connect(env.users, registering)
	if err == nil {
		ready()
		<-c.ctx.Done()
		if err = c.err(); ctx.Err() != nil {
			err = nil
		}
	}
	c.cut() // no message is in flight, and the server may be gone
	if closed := c.close(); err == nil && ctx.Err() == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("failed to hold %d devices: %w", o.Devices, err)
	}
	return nil
}
