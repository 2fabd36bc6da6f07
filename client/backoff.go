package client

import (
	"context"
	"time"
)

// stableAfter is the least duration of a connection that resets the back-off. A server that
// crashes right after the welcome has not recovered.
const stableAfter = 10 * time.Second

// backoff is exponential with full jitter.
type backoff struct {
	least, most time.Duration
	jitter      func(time.Duration) time.Duration
	ceiling     time.Duration // of the next pause; 0 means least
}

func (b *backoff) next() time.Duration {
	b.ceiling = max(b.ceiling, b.least)
	pause := b.jitter(b.ceiling)
	b.ceiling = min(2*b.ceiling, b.most)
	return pause
}

func (b *backoff) reset() { b.ceiling = 0 }

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
