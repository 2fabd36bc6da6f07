package streams

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
	// maxUnremoved bounds the entries of a process that are acknowledged and not yet
	// removed. With so many the removal of the process is behind, and senders wait.
	maxUnremoved = 64 << 10
	// catchUp is how many entries fewer than maxUnremoved there are once removal has caught
	// up. It bounds how often a process writes its lease because of that. It is small, so
	// that a sender waits less than its time limit while they are removed.
	catchUp = 2 << 10
	// stuckAfter is within what time a gateway that is behind removes catchUp entries, or
	// it no longer holds back senders at other gateways.
	stuckAfter = time.Minute
	// heldLogEvery is how often the log says who holds senders back.
	heldLogEvery = 10 * time.Second
)

// backPressure holds back the senders of this process while removal is behind: in this
// process, or at another gateway that says so in its lease. A gateway holds others back
// until it has caught up, removes next to nothing for a minute, gives up its lease, or
// does not renew it.
type backPressure struct {
	log     *slog.Logger
	changed chan struct{} // 1; judge fills it, the lease keeper empties it; full means that the keeper will look

	unremoved atomic.Int64
	removed   atomic.Int64         // entries so far
	behind    atomic.Bool          // removal of this process is; written with mu held
	held      atomic.Pointer[hold] // nil while senders go on; written with mu held

	mu       sync.Mutex // guards the rest
	self     string     // this gateway; empty before it has a lease
	others   map[string]*otherBehind
	loggedAt time.Time
	// Of the time in which removal is behind.
	counted int64     // removed when catchUp entries had been since the last time
	movedAt time.Time // when that was
	stuck   bool      // it took longer than stuckAfter
}

// hold says why senders wait. It is static.
type hold struct {
	here   bool
	others []string      // sorted
	over   chan struct{} // closed once senders go on
}

// otherBehind is another gateway whose removal is behind, as long as its lease holds.
type otherBehind struct {
	until time.Time
	end   *time.Timer
}

func newBackPressure(log *slog.Logger) *backPressure {
	return &backPressure{log: log, changed: make(chan struct{}, 1), others: make(map[string]*otherBehind)}
}

// close ends the timers. Nobody calls heard afterwards.
func (p *backPressure) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.others {
		o.end.Stop()
	}
}

// admit waits until nobody's removal is behind, and returns at once if it is so.
func (p *backPressure) admit(ctx context.Context) error {
	for h := p.held.Load(); h != nil; h = p.held.Load() {
		select {
		case <-h.over:
		case <-ctx.Done():
			return fmt.Errorf("removal of acknowledged entries is behind at %s: %w", h, ctx.Err())
		}
	}
	return nil
}

// String names the gateways for errors and the log.
func (h *hold) String() string {
	if h.here {
		return strings.Join(append([]string{"this gateway"}, h.others...), ", ")
	}
	return strings.Join(h.others, ", ")
}

// add counts acknowledged entries that are in the streams, or with n < 0 were removed.
func (p *backPressure) add(n int64) {
	after := p.unremoved.Add(n)
	if n < 0 {
		p.removed.Add(-n)
	}
	if turns(p.behind.Load(), after) {
		p.judge()
	}
}

// turns says whether with n entries removal falls behind, or has caught up.
func turns(behind bool, n int64) bool {
	if behind {
		return n < maxUnremoved-catchUp
	}
	return n >= maxUnremoved
}

// judge notes that removal of this process fell behind, or caught up. It looks again at
// what others count meanwhile, for they may have seen behind as it was.
func (p *backPressure) judge() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for behind := p.behind.Load(); turns(behind, p.unremoved.Load()); {
		behind = !behind
		p.behind.Store(behind)
		p.counted, p.movedAt, p.stuck = p.removed.Load(), time.Now(), false
		p.update()
		poke(p.changed)
	}
}

// lease names the gateway that this process is.
func (p *backPressure) lease(gateway string) {
	p.heard(gateway, false) // as the lease of an earlier process with that name may have said
	p.mu.Lock()
	defer p.mu.Unlock()
	p.self = gateway
}

// tells says whether the lease is to say that removal is behind. The lease keeper calls
// it at least each LeaseEvery.
func (p *backPressure) tells() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.behind.Load() || p.stuck {
		return false
	}
	switch removed := p.removed.Load(); {
	case removed-p.counted >= catchUp:
		p.counted, p.movedAt = removed, time.Now()
	case time.Since(p.movedAt) >= stuckAfter:
		p.stuck = true
		p.log.Error("removal of acknowledged entries makes no progress; senders at other gateways no longer wait for it, those at this one do",
			"entries", p.unremoved.Load())
	}
	return !p.stuck
}

// heard notes what the lease of a gateway says, or that it has ended.
func (p *backPressure) heard(gateway string, behind bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if gateway == p.self {
		return
	}
	o, known := p.others[gateway]
	switch {
	case behind && known:
		o.until = time.Now().Add(LeaseTTL)
		o.end.Reset(LeaseTTL)
		return
	case behind:
		p.others[gateway] = &otherBehind{time.Now().Add(LeaseTTL), time.AfterFunc(LeaseTTL, func() { p.expire(gateway) })}
	case known:
		o.end.Stop()
		delete(p.others, gateway)
	}
	p.update()
}

// expire ends what a lease said that was not renewed.
func (p *backPressure) expire(gateway string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o, known := p.others[gateway]; known && !time.Now().Before(o.until) {
		delete(p.others, gateway)
		p.update()
	}
}

// update holds senders back, or lets them go on. mu is held.
func (p *backPressure) update() {
	old := p.held.Load()
	h := &hold{here: p.behind.Load(), others: slices.Sorted(maps.Keys(p.others))}
	switch {
	case !h.here && len(h.others) == 0:
		if old != nil {
			p.held.Store(nil)
			close(old.over)
		}
		return
	case old == nil:
		h.over = make(chan struct{})
	default:
		h.over = old.over
	}
	p.held.Store(h)
	if p.loggedAt.IsZero() || time.Since(p.loggedAt) >= heldLogEvery {
		p.loggedAt = time.Now()
		p.log.Warn("removal of acknowledged entries is behind; senders wait", "at", h.String())
	}
}
