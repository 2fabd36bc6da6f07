package backpressure

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

const (
	testLeaseTTL   = 15 * time.Second
	testLeaseEvery = testLeaseTTL / 3
)

// pressed is an Admission without a cluster, and its log.
func pressed() (*Admission, *bytes.Buffer) {
	var lines bytes.Buffer
	return New(slog.New(slog.NewTextHandler(&lines, nil)), testLeaseTTL), &lines
}

// waits says whether a sender would have to wait.
func waits(t *testing.T, p *Admission) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := p.Admit(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("a sender that gave up got %v", err)
	}
	return err != nil
}

// Senders wait once MaxUnremoved acknowledged entries are in the streams. All of them go
// on once removal has caught up, and not before: the lease is written twice for that.
func TestAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := pressed()
		p.Add(MaxUnremoved - 1)
		if waits(t, p) || p.Announce() || len(p.changed) != 0 {
			t.Fatal("removal is behind too early")
		}
		for range 2 {
			p.Add(1)
			if !p.Announce() || len(p.changed) != 1 {
				t.Error("the lease is not written")
			}
			<-p.changed
			var admitted atomic.Int64
			for range 10 {
				go func() {
					if err := p.Admit(t.Context()); err != nil {
						t.Error(err)
					}
					admitted.Add(1)
				}()
			}
			if !waits(t, p) {
				t.Error("a sender is admitted while removal is behind")
			}
			for range 100 { // near the bound
				p.Add(-CatchUp)
				p.Add(CatchUp)
			}
			if synctest.Wait(); admitted.Load() != 0 || len(p.changed) != 0 {
				t.Errorf("%d senders were admitted, and %d writes of the lease are due, before removal caught up", admitted.Load(), len(p.changed))
			}
			p.Add(-CatchUp - 1)
			if synctest.Wait(); admitted.Load() != 10 {
				t.Errorf("%d of 10 senders were admitted afterwards", admitted.Load())
			}
			if p.Announce() || len(p.changed) != 1 {
				t.Error("the lease is not written afterwards")
			}
			<-p.changed
			p.Add(CatchUp)
		}
	})
}

// Senders wait for another gateway for as long as its lease says so and is renewed, and
// not for what an earlier process with the name of this one said.
func TestHeldBackByALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, lines := pressed()
		p.Note("a", true)
		p.Note("self", true)
		p.SetGateway("self")
		p.Note("self", true)
		p.Note("b", true)
		h := p.held.Load()
		if h.here || h.String() != "a, b" {
			t.Errorf("senders wait for %s", h)
		}
		p.Note("a", false)
		if !waits(t, p) {
			t.Error("senders do not wait for the second")
		}
		for range 3 {
			time.Sleep(testLeaseTTL - time.Millisecond)
			p.Note("b", true)
		}
		time.Sleep(testLeaseTTL - time.Millisecond)
		if synctest.Wait(); !waits(t, p) {
			t.Error("a lease was over that had been renewed")
		}
		time.Sleep(time.Millisecond)
		if synctest.Wait(); waits(t, p) || len(p.others) != 0 {
			t.Error("senders wait for a gateway whose lease is over")
		}
		p.Note("b", true)
		p.Note("c", true) // within heldLogEvery
		if got := strings.Count(lines.String(), "senders wait"); got != 2 || !strings.Contains(lines.String(), "at=a") || !strings.Contains(lines.String(), "at=b") {
			t.Errorf("logged:\n%s", lines)
		}
		p.Close()
	})
}

// A gateway that is behind and makes no progress holds back its own senders alone, until
// it has caught up.
func TestStuckRemovalHoldsNobodyElseBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, lines := pressed()
		p.Add(3 * MaxUnremoved)
		keep := func(for_ time.Duration, removes int64) (told bool) {
			for end := time.Now().Add(for_); time.Now().Before(end); {
				time.Sleep(testLeaseEvery)
				p.Add(-removes)
				told = p.Announce()
			}
			return told
		}
		if !keep(5*stuckAfter, CatchUp/10) {
			t.Error("it makes progress, and its lease does not say that it is behind")
		}
		if keep(stuckAfter, 1) {
			t.Error("it makes no progress, and holds back senders elsewhere")
		}
		if keep(testLeaseEvery, CatchUp); p.Announce() {
			t.Error("it flaps")
		}
		if !waits(t, p) {
			t.Error("its own senders go on")
		}
		if got := strings.Count(lines.String(), "no progress"); got != 1 {
			t.Errorf("logged:\n%s", lines)
		}
		p.Add(-p.unremoved.Load())
		if p.Add(MaxUnremoved); !p.Announce() {
			t.Error("it had caught up, and holds no sender back the next time")
		}
	})
}

// Entries that are removed in the moment in which removal falls behind count as well.
func TestRemovedWhileJudging(t *testing.T) {
	var p *Admission
	p = New(slog.New(slog.NewTextHandler(during(func() {
		p.unremoved.Add(-MaxUnremoved) // as add does that still saw removal keep up
	}), nil)), testLeaseTTL)
	if p.Add(MaxUnremoved); waits(t, p) {
		t.Error("senders wait for nothing")
	}
}

// during calls a function while a line is logged.
type during func()

func (d during) Write(line []byte) (int, error) {
	d()
	return len(line), nil
}
