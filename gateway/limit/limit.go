// Package limit bounds how often a connection, a user or an address may do something. Nothing
// in it starts a goroutine or fails.
package limit

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// New returns a limiter that allows perSecond, with bursts of two seconds' worth. Without a
// limit it returns nil.
func New(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(int(2*perSecond), 1))
}

// Addresses limits each address. It remembers the addresses that it saw last.
type Addresses struct {
	perSecond float64

	mu       sync.Mutex                            // guards limiters
	limiters *simplelru.LRU[string, *rate.Limiter] // at most maxAddresses; one more evicts the one unused for longest
}

// maxAddresses bounds the remembered addresses. An evicted address has a full burst again, as
// it would have after two seconds.
const maxAddresses = 10_000

// NewAddresses returns Addresses that allow each address perSecond, or everything if that is 0.
func NewAddresses(perSecond float64) *Addresses {
	limiters, _ := simplelru.NewLRU[string, *rate.Limiter](maxAddresses, nil) // fails for sizes below 1 alone
	return &Addresses{perSecond: perSecond, limiters: limiters}
}

// Wait counts an attempt of an address and returns 0. If the address has to wait, Wait counts
// nothing and returns for how long.
func (l *Addresses) Wait(address string) time.Duration {
	if l.perSecond <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.limiters.Get(address)
	if !ok {
		limiter = New(l.perSecond)
		l.limiters.Add(address, limiter)
	}
	return Wait(limiter)
}

// Wait counts an attempt and returns 0. If the attempt has to wait, Wait counts nothing and
// returns for how long. A nil limiter allows everything.
func Wait(limiter *rate.Limiter) time.Duration {
	if limiter == nil {
		return 0
	}
	r := limiter.Reserve()
	d := r.Delay()
	if d > 0 {
		r.Cancel()
	}
	return d
}
