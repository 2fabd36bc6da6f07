package gateway

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// Limits on what one user, connection or address may do. An address is an IPv4 address
// or the /64 of an IPv6 address. In every field 0 means
// no limit; [DefaultLimits] is what an operator gets who says nothing.
type Limits struct {
	ConnectionsPerUser    int     // open at a time, on this gateway
	ConnectionsPerAddress int     // open at a time, on this gateway
	FramesPerSecond       float64 // a connection; more are read later
	SendsPerSecond        float64 // a connection; more are refused with rate_limited
	LoginsPerSecond       float64 // an address, POST /accounts and /sessions together
}

// DefaultLimits suit people who type. They leave room for a device that comes
// back after a month: it sends one frame a message.
func DefaultLimits() Limits {
	return Limits{
		ConnectionsPerUser:    12,
		ConnectionsPerAddress: 1000,
		FramesPerSecond:       1000,
		SendsPerSecond:        50,
		LoginsPerSecond:       5,
	}
}

// newLimiter allows perSecond, and a burst of two seconds' worth; nil for no
// limit.
func newLimiter(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(int(2*perSecond), 1))
}

// addressLimiter is one limiter for each address, of the addresses seen last.
type addressLimiter struct {
	perSecond float64

	mu       sync.Mutex                            // guards limiters
	limiters *simplelru.LRU[string, *rate.Limiter] // at most maxAddresses; one more evicts the one unused for longest
}

// maxAddresses bounds the addresses that are remembered. An evicted address has a full
// burst again, as it would have after two seconds.
const maxAddresses = 10_000

func newAddressLimiter(perSecond float64) *addressLimiter {
	limiters, _ := simplelru.NewLRU[string, *rate.Limiter](maxAddresses, nil) // fails for sizes below 1 alone
	return &addressLimiter{perSecond: perSecond, limiters: limiters}
}

// wait is how long the address has to wait; 0 where it may go on.
func (l *addressLimiter) wait(address string) time.Duration {
	if l.perSecond <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.limiters.Get(address)
	if !ok {
		limiter = newLimiter(l.perSecond)
		l.limiters.Add(address, limiter)
	}
	return delay(limiter)
}

// delay takes a token, or says how long until there is one.
func delay(limiter *rate.Limiter) time.Duration {
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
