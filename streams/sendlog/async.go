package sendlog

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"roost/schemas"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// Async is the Log that commits records in batches after the copies.
type Async struct {
	// Static.
	first   *First
	wake    chan struct{} // 1; filled after a record was queued; full means that run will look
	hurry   chan struct{} // 1; filled if a caller waits for a record; full means that run will look
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed by run

	copied   atomic.Uint64 // the largest sequence of INBOX_0 that a commit got
	recorded atomic.Uint64 // the sends of all copies up to it are on record

	mu      sync.Mutex // guards the rest
	phase   phase
	devices map[subject.Address]sender
	queue   []queued // at most MaxQueued; more are refused
	taken   uint64   // records that were ever queued
	durable uint64   // of them, those that are stored or given up
	waiters []waiter // in the order of until
	left    int      // records of accepted sends that were not stored at the end
}

// phase is the state of an Async.
type phase int

const (
	running phase = iota
	closing       // no record is queued any more; the queue is committed once more
	ended         // the goroutine is over
)

// sender is the state of a device that sends.
type sender struct {
	newest  schemas.ClientMessageID // no larger number was accepted
	queued  int                     // of its records
	waiting int                     // of these, those whose sends wait for them
}

// queued is a record in the queue. done is nil if the send went on already.
type queued struct {
	to   subject.Address
	rec  schemas.SendRecord
	done func(publisher.Outcome)
}

// waiter waits for records.
type waiter struct {
	until uint64 // of durable
	tell  func(error)
}

const (
	// MaxQueued bounds the records that wait; with more, sends are refused.
	MaxQueued = 16 << 10
	// maxSenders bounds the devices that are known; the records of others are durable
	// before their copies.
	maxSenders = 200_000
	// gatherTime is how long records collect if no caller waits for them.
	gatherTime = 25 * time.Millisecond
	// retryPause is the pause after a commit that failed.
	retryPause = 250 * time.Millisecond
)

var _ Log = (*Async)(nil)

// StartAsync recovers records through first and starts.
func StartAsync(ctx context.Context, first *First) (*Async, error) {
	from, err := first.Recover(ctx)
	if err != nil {
		return nil, err
	}
	l := &Async{first: first, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		stop: make(chan struct{}), stopped: make(chan struct{}), devices: make(map[subject.Address]sender)}
	l.recorded.Store(from - 1)
	l.copied.Store(from - 1)
	go l.run()
	return l, nil
}

// Start implements [Log]: StartAsync did it.
func (l *Async) Start(context.Context) error { return nil }

// Record implements [Log]. If the number is new for the device, the send goes on at
// once. Else done gets the answer of the stream. It does so too if an earlier send of
// the device waits, which this one would overtake.
func (l *Async) Record(a subject.Address, rec schemas.SendRecord, done func(publisher.Outcome)) error {
	l.mu.Lock()
	if l.phase != running {
		l.mu.Unlock()
		return publisher.ErrClosed
	}
	if len(l.queue) >= MaxQueued {
		l.mu.Unlock()
		return publisher.ErrBusy
	}
	of, known := l.devices[a]
	// No copy records that the receiver blocked the sender.
	isNew := known && rec.MessageIDByClient > of.newest && rec.BlockedBy == "" && of.waiting == 0
	q := queued{to: a, rec: rec}
	if !isNew {
		q.done = done
		of.waiting++
	}
	l.queue = append(l.queue, q)
	l.taken++
	of.newest, of.queued = max(of.newest, rec.MessageIDByClient), of.queued+1
	l.know(a, of)
	l.mu.Unlock()
	poke(l.wake)
	if !isNew {
		poke(l.hurry)
		return nil
	}
	done(publisher.Outcome{})
	return nil
}

// learn notes the newest number of a device. From then on a larger number is known to be
// new.
func (l *Async) learn(a subject.Address, newest schemas.ClientMessageID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.devices[a]
	of.newest = max(of.newest, newest)
	l.know(a, of)
}

func (l *Async) know(a subject.Address, of sender) {
	if _, known := l.devices[a]; !known && len(l.devices) >= maxSenders {
		for other, o := range l.devices { // any one: map order is random
			if o.queued == 0 {
				delete(l.devices, other)
				break
			}
		}
	}
	l.devices[a] = of
}

// Last implements [Log].
func (l *Async) Last(ctx context.Context, a subject.Address) (rec schemas.SendRecord, ok bool, err error) {
	if err := l.awaitDevice(ctx, a); err != nil {
		return rec, false, err
	}
	rec, ok, err = l.first.Last(ctx, a)
	if err == nil {
		l.learn(a, rec.Newest())
	}
	return rec, ok, err
}

// Find implements [Log].
func (l *Async) Find(ctx context.Context, a subject.Address, n schemas.ClientMessageID) (rec schemas.SendRecord, ok bool, err error) {
	if err := l.awaitDevice(ctx, a); err != nil {
		return rec, false, err
	}
	return l.first.Find(ctx, a, n)
}

// awaitDevice waits until the queued records of a device are in the stream.
func (l *Async) awaitDevice(ctx context.Context, a subject.Address) error {
	l.mu.Lock()
	queued := l.devices[a].queued
	l.mu.Unlock()
	if queued == 0 {
		return nil
	}
	return l.await(ctx)
}

// BeforeRemoval implements [Log].
func (l *Async) BeforeRemoval(ctx context.Context, stream string, seq uint64) error {
	if stream != subject.InboxStream(0) || seq <= l.recorded.Load() {
		return nil
	}
	return l.await(ctx)
}

// await waits until all records queued so far are durable.
func (l *Async) await(ctx context.Context) error {
	done := make(chan error, 1)
	l.WhenRecorded(func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("failed to wait for records of sends: %w", ctx.Err())
	}
}

// Recorded implements [Log].
func (l *Async) Recorded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable == l.taken
}

// WhenRecorded implements [Log].
func (l *Async) WhenRecorded(tell func(error)) {
	l.mu.Lock()
	var err error
	switch {
	case l.durable == l.taken:
	case l.phase == ended:
		err = publisher.ErrClosed
	default:
		l.waiters = append(l.waiters, waiter{l.taken, tell})
		l.mu.Unlock()
		poke(l.hurry)
		return
	}
	l.mu.Unlock()
	tell(err)
}

// Copied implements [Log].
func (l *Async) Copied(seq uint64) {
	for {
		known := l.copied.Load()
		if seq <= known || l.copied.CompareAndSwap(known, seq) {
			return
		}
	}
}

// poke fills a channel of one, unless it is full.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
