package auth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"roost/schemas"
)

// TestPasswordsWaitInAQueue: so many wait, each for so long; one more is refused at once.
func TestPasswordsWaitInAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newQueue()
		for range maxHashing {
			if err := h.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		type outcome struct {
			err   error
			after time.Duration
		}
		began := time.Now()
		waiting := make(chan outcome, maxHashWaiting)
		for range maxHashWaiting {
			go func() {
				err := h.enter(t.Context())
				waiting <- outcome{err, time.Since(began)}
			}()
		}
		synctest.Wait()
		wantBusy := func(err error) {
			t.Helper()
			e := schemas.AsError(err)
			if !errors.Is(err, ErrBusy) || e.Code != schemas.CodeUnavailable || e.RetryAfterMS < 1000 || e.RetryAfterMS > 3000 {
				t.Errorf("got %+v", e)
			}
		}
		wantBusy(h.enter(t.Context()))
		if time.Since(began) != 0 {
			t.Errorf("one more was refused after %v", time.Since(began))
		}
		time.Sleep(time.Second)
		h.leave() // a place for the first of them
		if first := <-waiting; first.err != nil || first.after != time.Second {
			t.Errorf("the first got %v after %v", first.err, first.after)
		}
		for range maxHashWaiting - 1 {
			late := <-waiting
			wantBusy(late.err)
			if late.after != hashWait {
				t.Errorf("one waited for %v", late.after)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if err := h.enter(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that went away: %v", err)
		}
		if n := h.waiting.Load(); n != 0 {
			t.Errorf("%d wait at the end", n)
		}
		if n := h.refused.Load(); n != maxHashWaiting {
			t.Errorf("%d refusals are counted", n)
		}
	})
}
