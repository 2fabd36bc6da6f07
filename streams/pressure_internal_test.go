package streams

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pressed is a backPressure without a cluster, and its log.
func pressed() (*backPressure, *bytes.Buffer) {
	var lines bytes.Buffer
	return newBackPressure(slog.New(slog.NewTextHandler(&lines, nil))), &lines
}

// waits says whether a sender would have to wait.
func waits(t *testing.T, p *backPressure) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := p.admit(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("a sender that gave up got %v", err)
	}
	return err != nil
}

// Senders wait once maxUnremoved acknowledged entries are in the streams. All of them go
// on once removal has caught up, and not before: the lease is written twice for that.
func TestAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pressed()
		p.add(maxUnremoved - 1)
		if waits(t, p) || p.tells() || len(p.changed) != 0 {
			t.Fatal("removal is behind too early")
		}
		for range 2 {
			p.add(1)
			if !p.tells() || len(p.changed) != 1 {
				t.Error("the lease is not written")
			}
			<-p.changed
			var admitted atomic.Int64
			for range 10 {
				go func() {
					if err := p.admit(t.Context()); err != nil {
						t.Error(err)
					}
					admitted.Add(1)
				}()
			}
			if !waits(t, p) {
				t.Error("a sender is admitted while removal is behind")
			}
			for range 100 { // near the bound
				p.add(-catchUp)
				p.add(catchUp)
			}
			if synctest.Wait(); admitted.Load() != 0 || len(p.changed) != 0 {
				t.Errorf("%d senders were admitted, and %d writes of the lease are due, before removal caught up", admitted.Load(), len(p.changed))
			}
			p.add(-catchUp - 1)
			if synctest.Wait(); admitted.Load() != 10 {
				t.Errorf("%d of 10 senders were admitted afterwards", admitted.Load())
			}
			if p.tells() || len(p.changed) != 1 {
				t.Error("the lease is not written afterwards")
			}
			<-p.changed
			p.add(catchUp)
		}
	})
}

// Senders wait for another gateway for as long as its lease says so and is renewed, and
// not for what an earlier process with the name of this one said.
func TestHeldBackByALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, lines := pressed()
		p.heard("a", true)
		p.heard("self", true)
		p.lease("self")
		p.heard("self", true)
		p.heard("b", true)
		h := p.held.Load()
		if h.here || h.String() != "a, b" {
			t.Errorf("senders wait for %s", h)
		}
		p.heard("a", false)
		if !waits(t, p) {
			t.Error("senders do not wait for the second")
		}
		for range 3 {
			time.Sleep(LeaseTTL - time.Millisecond)
			p.heard("b", true)
		}
		time.Sleep(LeaseTTL - time.Millisecond)
		if synctest.Wait(); !waits(t, p) {
			t.Error("a lease was over that had been renewed")
		}
		time.Sleep(time.Millisecond)
		if synctest.Wait(); waits(t, p) || len(p.others) != 0 {
			t.Error("senders wait for a gateway whose lease is over")
		}
		p.heard("b", true)
		p.heard("c", true) // within heldLogEvery
		if got := strings.Count(lines.String(), "senders wait"); got != 2 || !strings.Contains(lines.String(), "at=a") || !strings.Contains(lines.String(), "at=b") {
			t.Errorf("logged:\n%s", lines)
		}
		p.close()
	})
}

// A gateway that is behind and makes no progress holds back its own senders alone, until
// it has caught up.
func TestStuckRemovalHoldsNobodyElseBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, lines := pressed()
		p.add(3 * maxUnremoved)
		keep := func(for_ time.Duration, removes int64) (told bool) {
			for end := time.Now().Add(for_); time.Now().Before(end); {
				time.Sleep(LeaseEvery)
				p.add(-removes)
				told = p.tells()
			}
			return told
		}
		if !keep(5*stuckAfter, catchUp/10) {
			t.Error("it makes progress, and its lease does not say that it is behind")
		}
		if keep(stuckAfter, 1) {
			t.Error("it makes no progress, and holds back senders elsewhere")
		}
		if keep(LeaseEvery, catchUp); p.tells() {
			t.Error("it flaps")
		}
		if !waits(t, p) {
			t.Error("its own senders go on")
		}
		if got := strings.Count(lines.String(), "no progress"); got != 1 {
			t.Errorf("logged:\n%s", lines)
		}
		p.add(-p.unremoved.Load())
		if p.add(maxUnremoved); !p.tells() {
			t.Error("it had caught up, and holds nobody back the next time")
		}
	})
}

// Entries that are removed in the moment in which removal falls behind count as well.
func TestRemovedWhileJudging(t *testing.T) {
	var p *backPressure
	p = newBackPressure(slog.New(slog.NewTextHandler(during(func() {
		p.unremoved.Add(-maxUnremoved) // as add does that still saw removal keep up
	}), nil)))
	if p.add(maxUnremoved); waits(t, p) {
		t.Error("senders wait for nothing")
	}
}

// during calls a function while a line is logged.
type during func()

func (d during) Write(line []byte) (int, error) {
	d()
	return len(line), nil
}
