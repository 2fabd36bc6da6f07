package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roost/schemas"
)

// runner connects a client again after each lost connection. One goroutine runs it and
// owns its fields.
type runner struct {
	c          *Client
	token      string
	tokenFresh bool // the token is from the source and the server has not accepted it yet
	freshStart bool // hello leaves out the cursor, because the server refuses its size
}

// run connects until the client ends. It returns why the client ended.
func (r *runner) run(ctx context.Context) error {
	c := r.c
	pause := backoff{least: c.opts.BackoffMin, most: c.opts.BackoffMax, jitter: c.opts.Jitter}
	for {
		end := r.attempt(ctx)
		if ctx.Err() != nil {
			return ErrClosed
		}
		if !r.retryable(end.err) {
			return end.err
		}
		if end.lived >= stableAfter {
			pause.reset()
		}
		wait := end.pause(&pause)
		c.log.Info("not connected", "error", end.err, "retry_in", wait)
		if end.connected && !r.push(ctx, Disconnected{Err: end.err, RetryIn: wait}) {
			return ErrClosed
		}
		if !sleep(ctx, wait) {
			return ErrClosed
		}
	}
}

// ending is the end of an attempt to connect, or of the connection that followed.
type ending struct {
	err       error
	connected bool
	lived     time.Duration
	notBefore time.Time // from a reconnect frame; zero without one
}

// pause returns the wait before the next attempt: the server's, or that of the back-off.
func (e ending) pause(b *backoff) time.Duration {
	if !e.notBefore.IsZero() {
		return max(time.Until(e.notBefore), 0)
	}
	var refused *schemas.Error
	if errors.As(e.err, &refused) && refused.RetryAfterMS > 0 {
		return max(b.next(), time.Duration(refused.RetryAfterMS)*time.Millisecond)
	}
	return b.next()
}

// retryable reports whether the client connects again after err. If the server refuses a
// token that is not fresh, it may have expired, and the next attempt asks the source for
// another one.
func (r *runner) retryable(err error) bool {
	c := r.c
	c.mu.Lock()
	c.lastErr = err
	c.mu.Unlock()
	if isUnauthenticated(err) && c.opts.TokenSource != nil && r.token != "" && !r.tokenFresh {
		r.token = ""
		return true
	}
	select {
	case <-c.ready:
		return !isFatal(err, true)
	default:
		return !isFatal(err, false)
	}
}

// attempt connects once and serves the connection until it ends.
func (r *runner) attempt(ctx context.Context) ending {
	c := r.c
	defer func() {
		c.mu.Lock()
		c.online = false
		c.mu.Unlock()
	}()
	k, err := r.open(ctx)
	if err != nil {
		return ending{err: err}
	}
	began := time.Now()
	notBefore, err := k.serve(ctx)
	if isTooBig(err) {
		err = c.tooBig(k.largest, err)
	}
	return ending{err: err, connected: true, lived: time.Since(began), notBefore: notBefore}
}

// push waits for room in the queue of events. It returns false if ctx ends first.
func (r *runner) push(ctx context.Context, ev Event) bool {
	select {
	case r.c.events <- ev:
		return true
	case <-ctx.Done():
		return false
	}
}

// helloTooBig leaves the cursor out of the next hello, because only the cursor can make a
// hello large. Then the server redelivers everything that is not acknowledged, and the
// inbox recognises the entries that it has shown.
func (r *runner) helloTooBig(hello *schemas.Hello, closed error) error {
	if hello.ResumeAfter == "" {
		return fmt.Errorf("%w: %w", errFrameLimit, closed)
	}
	r.freshStart = true
	r.c.log.Warn("the server refuses a hello with the cursor; it will redeliver what is not acknowledged")
	return closed
}
