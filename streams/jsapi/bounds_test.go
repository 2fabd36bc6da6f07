package jsapi

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// As many reads and requests as the bounds allow are in progress; one more waits for
// its turn.
func TestReadsAndRequestsAreBounded(t *testing.T) {
	for name, bound := range map[string]struct {
		n    int
		call func() func(ctx context.Context, do func()) error
	}{
		"reads": {maxReads, func() func(context.Context, func()) error {
			c := &Client{readers: make(chan *reader, maxReads)}
			for range maxReads {
				c.readers <- &reader{}
			}
			return func(ctx context.Context, do func()) error {
				return c.withReader(ctx, func(*reader) error { do(); return nil })
			}
		}},
		"requests": {maxCalls, func() func(context.Context, func()) error {
			c := &Client{calls: make(chan struct{}, maxCalls)}
			return func(ctx context.Context, do func()) error {
				return c.Do(ctx, func(context.Context) error { do(); return nil })
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				call, release := bound.call(), make(chan struct{})
				var entered, ended atomic.Int64
				for range bound.n + 1 {
					go func() {
						if err := call(t.Context(), func() { entered.Add(1); <-release }); err != nil {
							t.Error(err)
						}
						ended.Add(1)
					}()
				}
				synctest.Wait()
				if n := entered.Load(); n != int64(bound.n) {
					t.Errorf("%d at a time, not %d", n, bound.n)
				}
				impatient, cancel := context.WithCancel(t.Context())
				cancel()
				if err := call(impatient, func() {}); err == nil {
					t.Error("one who gave up waiting went in")
				}
				close(release)
				synctest.Wait()
				if n := ended.Load(); n != int64(bound.n)+1 {
					t.Errorf("%d ended", n)
				}
			})
		})
	}
}
