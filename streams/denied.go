package streams

import (
	"context"
	"errors"
	"fmt"
)

// ErrDenied means that NATS denies this role a request: the nkey is of another role, or
// the server's permissions are of another version.
var ErrDenied = errors.New("NATS denies that to the role of this nkey")

// untilDenied is for calls that make one request after the other. A denied request gets
// no answer: the connection gets an error, and so the context ends. The function that it
// returns then replaces the context's error by the reason.
func (c *Conn) untilDenied(ctx context.Context) (_ context.Context, settle func(*error)) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.mu.Lock()
	before := c.denied // of the call that this one is part of
	c.denied = cancel
	c.mu.Unlock()
	return ctx, func(err *error) {
		c.mu.Lock()
		c.denied = before
		c.mu.Unlock()
		if cause := context.Cause(ctx); *err != nil && errors.Is(cause, ErrDenied) {
			*err = cause
		}
		cancel(nil)
	}
}

// deny reports whether a call waited for a denial.
func (c *Conn) deny(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.denied == nil {
		return false
	}
	c.denied(fmt.Errorf("%w: %w", ErrDenied, err))
	return true
}
