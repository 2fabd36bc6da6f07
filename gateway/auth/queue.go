package auth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"roost/schemas"
)

const (
	// maxHashing bounds the password hashes at a time: each takes 19 MiB and a processor.
	maxHashing = 2
	// maxHashWaiting bounds the requests that wait for their hash.
	maxHashWaiting = 64
	// hashWait bounds how long each waits.
	hashWait = 2 * time.Second
)

// queue limits the password hashes at a time. A burst of log-ins must neither exhaust the
// gateway's memory nor make every log-in wait until the burst is over. After a short wait
// the answer is 503.
type queue struct {
	places  chan struct{} // one for each hash in progress, at most maxHashing; waiting requests enter in order
	waiting atomic.Int32  // at most maxHashWaiting
	refused atomic.Int64  // since the start
}

func newQueue() *queue { return &queue{places: make(chan struct{}, maxHashing)} }

// enter waits for a place, which leave gives back. It returns [schemas.CodeUnavailable]
// if too many wait already, or after hashWait, or with ctx.
func (q *queue) enter(ctx context.Context) error {
	select {
	case q.places <- struct{}{}:
		return nil
	default:
	}
	if q.waiting.Add(1) > maxHashWaiting {
		q.waiting.Add(-1)
		return q.busy()
	}
	defer q.waiting.Add(-1)
	late := time.NewTimer(hashWait)
	defer late.Stop()
	select {
	case q.places <- struct{}{}:
		return nil
	case <-late.C:
		return q.busy()
	case <-ctx.Done():
		return schemas.Unavailable(ctx.Err())
	}
}

func (q *queue) leave() { <-q.places }

// ErrBusy is the cause if too many passwords wait to be checked. It is counted and not
// logged, because a flood of log-ins would flood the log.
var ErrBusy = errors.New("too many passwords wait to be checked")

func (q *queue) busy() error {
	q.refused.Add(1)
	after := hashWait/2 + rand.N(hashWait) // spread the retries
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: after.Milliseconds(), Cause: ErrBusy,
		Message: fmt.Sprintf("The server already has %d passwords to check. Try again later.", maxHashing+maxHashWaiting)}
}
