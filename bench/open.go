package bench

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// OpenOptions are the parameters of [Open].
type OpenOptions struct {
	Rate     float64 // sends a second, of all senders together
	Pairs    int
	Size     int
	Warmup   time.Duration
	Duration time.Duration
}

// Open sends at a fixed rate, whatever the server does. Latencies count from the due time of
// a message, so the time of a stall counts for all messages that were due in it.
func Open(ctx context.Context, env *Env, o OpenOptions) (Result, error) {
	r := Result{Name: "open", Title: fmt.Sprintf("open loop, %.0f/s, %d pairs, %d bytes", o.Rate, o.Pairs, o.Size)}
	r.add(FigureRate, o.Rate, "/s")
	users, err := env.need(ctx, 2*o.Pairs)
	if err != nil {
		return r, err
	}
	t := newTraffic(env.users)
	c := newCrowd(ctx, env, t)
	err = c.connect(users, connecting)
	if err == nil {
		err = c.steady(users, o, &r)
	}
	return r, c.finish(err, users, &r)
}

// steady sends at the rate for the warm-up and the measurement.
func (c *crowd) steady(users []*user, o OpenOptions, r *Result) error {
	stop := make(chan struct{})
	var pacing sync.WaitGroup
	next := 0
	pacing.Go(func() {
		pace(o.Rate, stop, func(due int64) {
			p := users[next*2%len(users)]
			next++
			if l := c.link(p); l != nil {
				l.send(partner(users, p), o.Size, due)
				_ = l.flush() // the reader gets the error
			}
		})
	})
	defer pacing.Wait()
	defer close(stop)
	return c.span(o.Warmup, o.Duration, r)
}

// pace calls do at a rate until stop is closed, with the due time of each call. It catches up
// after a slow call. It sleeps in the kernel, because timers of the runtime are up to a
// millisecond late.
func pace(rate float64, stop <-chan struct{}, do func(due int64)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := sinceEpoch()
	for n := 0; ; n++ {
		due := begin + int64(float64(n)/rate*float64(time.Second))
		for {
			select {
			case <-stop:
				return
			default:
			}
			left := due - sinceEpoch()
			if left <= 0 {
				break
			}
			nap := syscall.NsecToTimespec(min(left, int64(100*time.Millisecond)))
			_ = syscall.Nanosleep(&nap, nil) // a signal may end it early: the loop looks again
		}
		do(due)
	}
}
