package inbox

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"roost/schemas"
	"roost/streams/receipts"
)

const (
	removeTimeout = 10 * time.Second // of one round
	// maxPause bounds the pause after a deletion.
	maxPause = 50 * time.Millisecond
	// roundSize bounds the inboxes of one round.
	roundSize = 64
	// overdueAfter is how long an inbox waits for its turn before the remover works
	// without pauses.
	overdueAfter = time.Second
)

// remover removes acknowledged entries from one INBOX stream. One goroutine takes the inboxes
// that are due in rounds. A round verifies each inbox, makes the watermarks of all of them
// durable with one commit, and deletes the entries inbox by inbox.
//
// The stream has one lock for commits and deletions. So the remover pauses after each
// deletion for as long as that took. If inboxes are overdue, it makes no pauses and deletes
// from several inboxes at a time. If even that is too slow, package backpressure holds
// senders back, here and at the other gateways.
type remover struct {
	owner   *Consumers
	stream  string
	workers int           // at a time, if inboxes are overdue
	wake    chan struct{} // 1; add fills it, run empties it; full means that run will look
	stopped chan struct{} // closed by run

	mu  sync.Mutex    // guards the rest
	due []*removeTurn // in the order of add; at most one of each inbox
}

// removeTurn is the place of one inbox in the queue of its remover.
type removeTurn struct {
	inbox   *deviceConsumer
	since   time.Time
	done    chan struct{} // closed when the turn is over
	prefix  []windowEntry // to be removed; owned by the round
	removed int           // entries; static after done
	err     error         // static after done
}

func startRemover(ctx context.Context, owner *Consumers, stream string) *remover {
	r := &remover{owner: owner, stream: stream, workers: owner.opts.RemovalWorkers, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	go r.run(ctx)
	return r
}

// add gives an inbox a turn. The caller holds its mu.
func (r *remover) add(b *deviceConsumer) *removeTurn {
	t := &removeTurn{inbox: b, since: time.Now(), done: make(chan struct{})}
	r.mu.Lock()
	r.due = append(r.due, t)
	r.mu.Unlock()
	notify(r.wake)
	return t
}

// run works until ctx ends. Turns that are left end with the error of ctx.
func (r *remover) run(ctx context.Context) {
	defer close(r.stopped)
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			for _, t := range r.take(r.waiting()) {
				t.err = ctx.Err()
				t.inbox.endTurn(t)
			}
			return
		}
		for turns := r.take(roundSize); len(turns) > 0; turns = r.take(roundSize) {
			r.round(ctx, turns)
		}
	}
}

func (r *remover) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.due)
}

// take takes the first turns off the queue, at most n.
func (r *remover) take(n int) []*removeTurn {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = min(n, len(r.due))
	turns := slices.Clone(r.due[:n])
	r.due = slices.Delete(r.due, 0, n)
	return turns
}

// overdue says whether an inbox waits for too long.
func (r *remover) overdue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.due) > 0 && time.Since(r.due[0].since) > overdueAfter
}

// round gives inboxes their turn and ends each turn.
func (r *remover) round(ctx context.Context, turns []*removeTurn) {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	r.each(turns, func(t *removeTurn) { t.err = t.inbox.source.verify(ctx) })
	if err := r.release(ctx, turns); err != nil {
		for _, t := range turns {
			if t.err == nil && len(t.prefix) > 0 {
				t.err = err
			}
		}
	}
	r.each(turns, func(t *removeTurn) {
		if t.err == nil && len(t.prefix) > 0 {
			began := time.Now()
			if t.err = r.owner.removeEntries(ctx, r.stream, t.inbox.subject, t.prefix); t.err == nil {
				t.removed = len(t.prefix)
			}
			r.pause(ctx, time.Since(began))
		}
	})
	var failed error
	for _, t := range turns {
		if t.err != nil {
			failed = fmt.Errorf("%s: %w", t.inbox.subject, t.err)
		}
		t.inbox.endTurn(t)
	}
	if failed != nil && ctx.Err() == nil {
		r.owner.opts.Log.Warn("acknowledged entries could not be removed; a later round retries it", "stream", r.stream, "error", failed)
	}
}

// each calls do for all turns: one after the other, or several at a time if inboxes are
// overdue.
func (r *remover) each(turns []*removeTurn, do func(*removeTurn)) {
	var all errgroup.Group
	all.SetLimit(1)
	if r.overdue() {
		all.SetLimit(r.workers)
	}
	for _, t := range turns {
		all.Go(func() error { do(t); return nil })
	}
	_ = all.Wait() // do has no error
}

// release finds the entries that each inbox may remove. It returns after the watermarks of
// the senders, and the send records of the entries, are durable: only then the entries may
// be removed.
func (r *remover) release(ctx context.Context, turns []*removeTurn) error {
	marks, last := make(receipts.Marks), uint64(0)
	for _, t := range turns {
		if t.err != nil {
			continue
		}
		if t.prefix = t.inbox.duePrefix(); len(t.prefix) == 0 {
			continue
		}
		heads := make([]schemas.EntryHead, len(t.prefix))
		for i, e := range t.prefix {
			heads[i] = e.head
		}
		if t.err = r.owner.collectMarks(ctx, t.inbox.addr.User, heads, marks); t.err == nil {
			last = max(last, t.prefix[len(t.prefix)-1].seq)
		}
	}
	if err := r.owner.opts.Receipts.AdvanceAll(ctx, marks); err != nil {
		return err
	}
	return r.owner.opts.SendLog.BeforeRemoval(ctx, r.stream, last)
}

// pause waits for as long as a deletion took, so that commits get the stream, unless inboxes
// are overdue.
func (r *remover) pause(ctx context.Context, took time.Duration) {
	if r.overdue() {
		return
	}
	select {
	case <-time.After(min(took, maxPause)):
	case <-ctx.Done():
	}
}

// requestRemoval gives the inbox a turn, unless it has one. mu is held.
func (b *deviceConsumer) requestRemoval() {
	if b.turn == nil {
		b.turn = b.owner.removers[b.partition].add(b)
	}
}

// duePrefix is the acknowledged prefix up to pos, or nothing if it is not due yet.
func (b *deviceConsumer) duePrefix() []windowEntry {
	b.mu.Lock()
	defer b.mu.Unlock()
	prefix := b.window.ackedPrefix()
	if !b.isEnded() && len(prefix) < RemoveBatch && b.owner.opts.Now().Before(b.removeAt) {
		return nil
	}
	if beyond := slices.IndexFunc(prefix, func(e windowEntry) bool { return e.seq > b.pos }); beyond >= 0 {
		prefix = prefix[:beyond]
	}
	return slices.Clone(prefix)
}

// endTurn ends a turn, and asks for the next one if much is left.
func (b *deviceConsumer) endTurn(t *removeTurn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer close(t.done)
	b.turn = nil
	if t.removed > 0 {
		b.window.drop(t.prefix[len(t.prefix)-1].seq)
	}
	due := b.removeAt
	b.removeAt = time.Time{}
	switch left := len(b.window.ackedPrefix()); {
	case left == 0 || b.isEnded():
	case t.err == nil && len(t.prefix) == 0 && b.owner.opts.Now().Before(due): // the turn only verified
		b.removeAt = due
	case left >= RemoveBatch && t.err == nil && t.removed > 0:
		b.requestRemoval()
	default:
		b.removeLater()
	}
	b.countUnremoved()
}

// remove removes the acknowledged prefix, as far as ctx allows, and waits.
func (b *deviceConsumer) remove(ctx context.Context) error {
	for {
		b.mu.Lock()
		current := b.turn
		if current == nil && len(b.window.ackedPrefix()) > 0 {
			b.requestRemoval()
		}
		mine := b.turn
		b.mu.Unlock()
		if mine == nil {
			return nil
		}
		select {
		case <-mine.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if current == nil && (mine.err != nil || mine.removed == 0) {
			return mine.err
		}
	}
}

// countUnremoved counts the entries that are acknowledged and not yet removed. mu is held.
func (b *deviceConsumer) countUnremoved() {
	n := b.window.prefix
	if b.state == closed {
		n = 0
	}
	if b.counted != n {
		b.owner.opts.Unremoved.Add(int64(n - b.counted))
		b.counted = n
	}
}
