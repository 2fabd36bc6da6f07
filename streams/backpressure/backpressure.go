package backpressure

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxUnremoved bounds the entries of a process that are acknowledged and not yet
	// removed. With that many, the removal of the process is behind and senders wait.
	MaxUnremoved = 64 << 10
	// CatchUp is how many entries fewer than MaxUnremoved there are after removal has
	// caught up. It bounds how often a process writes its lease for that reason. It is
	// small, so that a sender waits less than its time limit while they are removed.
	CatchUp = 2 << 10
	// stuckAfter is within what time a gateway that is behind removes CatchUp entries.
	// Otherwise it no longer holds back senders at other gateways.
	stuckAfter = time.Minute
	// heldLogEvery is how often the log names the gateways that hold senders back.
	heldLogEvery = 10 * time.Second
)

// Admission admits the senders of one process, or has them wait. Methods may be called
// concurrently.
type Admission struct {
	log      *slog.Logger
	leaseTTL time.Duration
	changed  chan struct{} // 1; judge fills it, the lease keeper empties it; full means that the keeper will look

	unremoved atomic.Int64
	removed   atomic.Int64         // entries so far
	behind    atomic.Bool          // removal of this process is behind; written with mu held
	held      atomic.Pointer[hold] // nil while senders are admitted; written with mu held

	mu       sync.Mutex // guards the rest
	self     string     // this gateway; empty before it has a lease
	others   map[string]*otherBehind
	loggedAt time.Time
	// Of the time in which removal is behind.
	counted int64     // removed, when CatchUp more entries were removed for the last time
	movedAt time.Time // when that was
	stuck   bool      // it took longer than stuckAfter
}

// hold says why senders wait. It is static.
type hold struct {
	here   bool
	others []string      // sorted
	over   chan struct{} // closed when senders are admitted again
}

// otherBehind is another gateway whose removal is behind, as long as its lease holds.
type otherBehind struct {
	until time.Time
	end   *time.Timer
}

// New makes an Admission that admits every sender. A lease that was not renewed for leaseTTL
// has ended.
func New(log *slog.Logger, leaseTTL time.Duration) *Admission {
	return &Admission{log: log, leaseTTL: leaseTTL, changed: make(chan struct{}, 1), others: make(map[string]*otherBehind)}
}

// Close stops the timers. Nothing calls Note afterwards.
func (a *Admission) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.others {
		o.end.Stop()
	}
}

// Admit waits while the removal of any live gateway is behind. Otherwise it returns at
// once, and takes no lock.
func (a *Admission) Admit(ctx context.Context) error {
	for h := a.held.Load(); h != nil; h = a.held.Load() {
		select {
		case <-h.over:
		case <-ctx.Done():
			return fmt.Errorf("removal of acknowledged entries is behind at %s: %w", h, ctx.Err())
		}
	}
	return nil
}

// HeldBack says whether senders wait for removal by this process, and for which other
// gateways.
func (a *Admission) HeldBack() (here bool, others []string) {
	if h := a.held.Load(); h != nil {
		return h.here, h.others
	}
	return false, nil
}

// Unremoved is how many entries connected devices have acknowledged that the streams
// still hold.
func (a *Admission) Unremoved() int64 { return a.unremoved.Load() }

// Changed gets a value when Announce may answer otherwise than before.
func (a *Admission) Changed() <-chan struct{} { return a.changed }

// String names the gateways for errors and the log.
func (h *hold) String() string {
	if h.here {
		return strings.Join(append([]string{"this gateway"}, h.others...), ", ")
	}
	return strings.Join(h.others, ", ")
}

// Add counts acknowledged entries that are in the streams, or with n < 0 entries that
// were removed.
func (a *Admission) Add(n int64) {
	after := a.unremoved.Add(n)
	if n < 0 {
		a.removed.Add(-n)
	}
	if turns(a.behind.Load(), after) {
		a.judge()
	}
}

// turns says whether with n entries removal falls behind, or has caught up.
func turns(isBehind bool, n int64) bool {
	if isBehind {
		return n < MaxUnremoved-CatchUp
	}
	return n >= MaxUnremoved
}

// judge notes a turn of the removal of this process. It looks again
// afterwards: a concurrent Add may have compared with the state before.
func (a *Admission) judge() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for behind := a.behind.Load(); turns(behind, a.unremoved.Load()); {
		behind = !behind
		a.behind.Store(behind)
		a.counted, a.movedAt, a.stuck = a.removed.Load(), time.Now(), false
		a.update()
		select {
		case a.changed <- struct{}{}:
		default:
		}
	}
}

// SetGateway names the gateway that this process is, after it has a lease.
func (a *Admission) SetGateway(gateway string) {
	a.Note(gateway, false) // as the lease of an earlier process with that name may have said
	a.mu.Lock()
	defer a.mu.Unlock()
	a.self = gateway
}

// Announce says whether the lease of this gateway shall say that removal is behind. The
// lease keeper calls it each time it renews the lease.
func (a *Admission) Announce() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.behind.Load() || a.stuck {
		return false
	}
	switch removed := a.removed.Load(); {
	case removed-a.counted >= CatchUp:
		a.counted, a.movedAt = removed, time.Now()
	case time.Since(a.movedAt) >= stuckAfter:
		a.stuck = true
		a.log.Error("removal of acknowledged entries makes no progress; senders at other gateways no longer wait for it, those at this one do",
			"entries", a.unremoved.Load())
	}
	return !a.stuck
}

// Note notes what the lease of a gateway says, or with false that it has ended.
func (a *Admission) Note(gateway string, behind bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if gateway == a.self {
		return
	}
	o, known := a.others[gateway]
	switch {
	case behind && known:
		o.until = time.Now().Add(a.leaseTTL)
		o.end.Reset(a.leaseTTL)
		return
	case behind:
		a.others[gateway] = &otherBehind{time.Now().Add(a.leaseTTL), time.AfterFunc(a.leaseTTL, func() { a.expire(gateway) })}
	case known:
		o.end.Stop()
		delete(a.others, gateway)
	}
	a.update()
}

// expire drops what a lease said that was not renewed.
func (a *Admission) expire(gateway string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o, known := a.others[gateway]; known && !time.Now().Before(o.until) {
		delete(a.others, gateway)
		a.update()
	}
}

// update holds senders back, or admits them again. mu is held.
func (a *Admission) update() {
	old := a.held.Load()
	h := &hold{here: a.behind.Load(), others: slices.Sorted(maps.Keys(a.others))}
	switch {
	case !h.here && len(h.others) == 0:
		if old != nil {
			a.held.Store(nil)
			close(old.over)
		}
		return
	case old == nil:
		h.over = make(chan struct{})
	default:
		h.over = old.over
	}
	a.held.Store(h)
	if a.loggedAt.IsZero() || time.Since(a.loggedAt) >= heldLogEvery {
		a.loggedAt = time.Now()
		a.log.Warn("removal of acknowledged entries is behind; senders wait", "at", h.String())
	}
}
