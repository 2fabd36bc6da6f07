package client

import (
	"context"
	"time"
)

// stableAfter is how long a connection must have lived for the back-off to
// begin anew: a server that welcomes and falls over is not back yet.
const stableAfter = 10 * time.Second

// backoff is exponential with full jitter.
type backoff struct {
	least, most time.Duration
	jitter      func(time.Duration) time.Duration
	ceiling     time.Duration // of the next pause; 0 is least
}

func (b *backoff) next() time.Duration {
	b.ceiling = max(b.ceiling, b.least)
	pause := b.jitter(b.ceiling)
	b.ceiling = min(2*b.ceiling, b.most)
	return pause
}

func (b *backoff) reset() { b.ceiling = 0 }

// sleep reports whether d passed before ctx ended.
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
