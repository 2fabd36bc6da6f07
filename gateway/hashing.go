package gateway

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
	// maxHashing bounds the password hashes under way: each takes 19 MiB and a processor.
	maxHashing = 2
	// maxHashWaiting bounds the requests that wait for their hash.
	maxHashWaiting = 64
	// hashWait bounds how long each waits.
	hashWait = 2 * time.Second
)

// hashing is the queue for password hashes. A burst of log-ins must not take the
// gateway's memory, nor make every log-in wait for as long as the burst lasts: beyond a
// short wait the answer is 503.
type hashing struct {
	places  chan struct{} // one for each hash under way, at most maxHashing; those who wait enter in order
	waiting atomic.Int32  // at most maxHashWaiting
	refused atomic.Int64  // ever
}

func newHashing() *hashing { return &hashing{places: make(chan struct{}, maxHashing)} }

// enter waits for a place, which leave gives back. It returns [schemas.CodeUnavailable]
// if too many wait already, or after hashWait, or with ctx.
func (h *hashing) enter(ctx context.Context) error {
	select {
	case h.places <- struct{}{}:
		return nil
	default:
	}
	if h.waiting.Add(1) > maxHashWaiting {
		h.waiting.Add(-1)
		return h.busy()
	}
	defer h.waiting.Add(-1)
	late := time.NewTimer(hashWait)
	defer late.Stop()
	select {
	case h.places <- struct{}{}:
		return nil
	case <-late.C:
		return h.busy()
	case <-ctx.Done():
		return schemas.Unavailable(ctx.Err())
	}
}

func (h *hashing) leave() { <-h.places }

// errBusy is the cause of a refusal. It is counted and not logged, or a flood of log-ins
// would be one of log lines.
var errBusy = errors.New("too many passwords wait to be checked")

func (h *hashing) busy() error {
	h.refused.Add(1)
	after := hashWait/2 + rand.N(hashWait) // not all at the same time again
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: after.Milliseconds(), Cause: errBusy,
		Message: fmt.Sprintf("The server has %d passwords to check already. Try again later.", maxHashing+maxHashWaiting)}
}
