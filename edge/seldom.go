package edge

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// seldom runs what it is given at most once a second and counts the rest.
type seldom struct {
	limiter *rate.Limiter
	skipped atomic.Int64
}

func newSeldom() *seldom { return &seldom{limiter: rate.NewLimiter(rate.Every(time.Second), 1)} }

// do runs f with the number of calls that were left out since the last one.
func (s *seldom) do(f func(more int)) {
	if !s.limiter.Allow() {
		s.skipped.Add(1)
		return
	}
	f(int(s.skipped.Swap(0)))
}
