package gateway

import (
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits on what one user, connection or address may do. In every field 0 means
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

// addressLimiter is one limiter an address.
type addressLimiter struct {
	perSecond float64

	mu       sync.Mutex // guards limiters
	limiters map[string]*rate.Limiter
}

// maxAddresses bounds the addresses that are remembered; one more forgets all,
// which gives everybody a fresh burst.
const maxAddresses = 10_000

func newAddressLimiter(perSecond float64) *addressLimiter {
	return &addressLimiter{perSecond: perSecond, limiters: make(map[string]*rate.Limiter)}
}

// wait is how long the address has to wait; 0 where it may go on.
func (l *addressLimiter) wait(address string) time.Duration {
	if l.perSecond <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.limiters[address]
	if !ok {
		if len(l.limiters) >= maxAddresses {
			clear(l.limiters)
		}
		limiter = newLimiter(l.perSecond)
		l.limiters[address] = limiter
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

// addressOf is the peer's address without its port. A proxy in front makes all
// clients one address: raise the limit there.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
