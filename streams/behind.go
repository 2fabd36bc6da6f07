package streams

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

// behind commits the records of sends behind their copies, many at a time, so that
// a send waits for one sync and not for two. It is there where one process alone
// uses the server, [Options].SingleProcess, with one partition.
//
// A copy holds all that the record of its send says. So each accepted send has a
// durable record, or its copies are still in INBOX_0: who removes entries waits for
// the records of what it removes ([behind.cover]), who looks for a record waits for
// those of the device ([behind.settled]), and a process that starts writes the
// records that are missing ([Conn.recoverRecords]). Each record says from where on
// that one has to look, [schemas.SentRecord].InboxFrom.
type behind struct {
	// Static.
	c       *Conn
	wake    chan struct{} // 1; something is queued
	hurry   chan struct{} // 1; and somebody waits for it
	stop    chan struct{} // closed by close
	stopped chan struct{} // closed by run

	answered atomic.Uint64 // the largest sequence of INBOX_0 that a commit got
	covered  atomic.Uint64 // the sends of all copies up to it are on record

	mu      sync.Mutex // guards the rest
	devices map[subject.Address]sender
	queue   []queuedRecord // at most maxBehind; more are refused
	taken   uint64         // records that were queued ever
	durable uint64         // of them, those that are settled
	waiters []behindWaiter // in the order of until
	closing bool
	ended   bool
	left    int // records of accepted sends that were not stored when it ended
}

// sender is what is known of a device that sends.
type sender struct {
	newest  schemas.ClientMessageID // no larger number was taken
	queued  int                     // of its records
	waiting int                     // of these, those whose sends wait for them
}

// queuedRecord is a record on its way. done is nil where the send went on already.
type queuedRecord struct {
	to   subject.Address
	rec  schemas.SentRecord
	done func(publisher.Outcome)
}

type behindWaiter struct {
	until uint64 // of durable
	tell  func(error)
}

const (
	// maxBehind bounds the records that wait; with more, sends are refused.
	maxBehind = 16 << 10
	// maxSenders bounds the devices that are known; the records of others are
	// durable before their copies.
	maxSenders = 200_000
	// behindDelay is how long records gather where nobody waits for them.
	behindDelay = 25 * time.Millisecond
	// behindRetry is the pause after a commit that failed.
	behindRetry = 250 * time.Millisecond
)

// startBehind begins with copies from sequence from on that may have no record.
func startBehind(c *Conn, from uint64) *behind {
	b := &behind{c: c, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		stop: make(chan struct{}), stopped: make(chan struct{}), devices: make(map[subject.Address]sender)}
	b.covered.Store(from - 1)
	b.answered.Store(from - 1)
	go b.run()
	return b
}

// record queues a record. Where the number is new for the device, the send goes on
// at once; else done hears what the stream says. So it does where an earlier send of
// the device waits, which would be overtaken.
func (b *behind) record(a subject.Address, rec schemas.SentRecord, done func(publisher.Outcome)) error {
	b.mu.Lock()
	if b.closing {
		b.mu.Unlock()
		return publisher.ErrClosed
	}
	if len(b.queue) >= maxBehind {
		b.mu.Unlock()
		return publisher.ErrBusy
	}
	of, known := b.devices[a]
	// Who is blocked no copy tells.
	isNew := known && rec.MessageIDByClient > of.newest && rec.BlockedBy == "" && of.waiting == 0
	q := queuedRecord{to: a, rec: rec}
	if !isNew {
		q.done = done
		of.waiting++
	}
	b.queue = append(b.queue, q)
	b.taken++
	of.newest, of.queued = max(of.newest, rec.MessageIDByClient), of.queued+1
	b.know(a, of)
	b.mu.Unlock()
	poke(b.wake)
	if !isNew {
		poke(b.hurry)
		return nil
	}
	done(publisher.Outcome{})
	return nil
}

// learn says what the newest record of a device is. From then on a larger number
// is known to be new.
func (b *behind) learn(a subject.Address, newest schemas.ClientMessageID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.devices[a]
	of.newest = max(of.newest, newest)
	b.know(a, of)
}

func (b *behind) know(a subject.Address, of sender) {
	if _, known := b.devices[a]; !known && len(b.devices) >= maxSenders {
		for other, o := range b.devices { // any one: map order is random
			if o.queued == 0 {
				delete(b.devices, other)
				break
			}
		}
	}
	b.devices[a] = of
}

// settled waits until what was queued of a device is in the stream.
func (b *behind) settled(ctx context.Context, a subject.Address) error {
	b.mu.Lock()
	queued := b.devices[a].queued
	b.mu.Unlock()
	if queued == 0 {
		return nil
	}
	return b.flush(ctx)
}

// cover waits until the sends of all copies up to seq are on record.
func (b *behind) cover(ctx context.Context, seq uint64) error {
	if seq <= b.covered.Load() {
		return nil
	}
	return b.flush(ctx)
}

// flush waits until all records queued so far are settled.
func (b *behind) flush(ctx context.Context) error {
	settled := make(chan error, 1)
	b.whenSettled(func(err error) { settled <- err })
	select {
	case err := <-settled:
		return err
	case <-ctx.Done():
		return fmt.Errorf("failed to wait for records of sends: %w", ctx.Err())
	}
}

// whenSettled calls tell, which does not block, once all records queued so far are
// settled, or with ErrClosed.
func (b *behind) whenSettled(tell func(error)) {
	b.mu.Lock()
	var err error
	switch {
	case b.durable == b.taken:
	case b.ended:
		err = publisher.ErrClosed
	default:
		b.waiters = append(b.waiters, behindWaiter{b.taken, tell})
		b.mu.Unlock()
		poke(b.hurry)
		return
	}
	b.mu.Unlock()
	tell(err)
}

// stored hears of a copy's sequence.
func (b *behind) stored(seq uint64) {
	for {
		known := b.answered.Load()
		if seq <= known || b.answered.CompareAndSwap(known, seq) {
			return
		}
	}
}

// run commits what is queued until close, and then once more.
func (b *behind) run() {
	defer b.end()
	delay := time.NewTimer(behindDelay)
	defer delay.Stop()
	for {
		select {
		case <-b.wake:
		case <-b.stop:
			b.commitQueue()
			return
		}
		delay.Reset(behindDelay)
		select {
		case <-delay.C:
		case <-b.hurry:
		case <-b.stop:
		}
		b.commitQueue()
	}
}

// commitQueue commits until nothing is queued; a failure it tries again until
// close.
func (b *behind) commitQueue() {
	for {
		b.mu.Lock()
		n := min(len(b.queue), publisher.MaxBatch)
		batch, all := b.queue[:n:n], n == len(b.queue)
		// The record of a copy is queued before the copy is committed: with this
		// batch all of those up to here are on record.
		upTo := b.answered.Load()
		b.mu.Unlock()
		if n == 0 {
			return
		}
		again, failed := b.commit(batch)
		ready := b.settle(batch, again)
		if len(again) == 0 && all {
			b.covered.Store(upTo)
		}
		for _, w := range ready {
			w.tell(nil)
		}
		if failed && b.stopping() {
			return // the rest would wait as long, batch after batch
		}
		if len(again) > 0 {
			select {
			case <-time.After(behindRetry):
			case <-b.stop:
				return
			}
		}
	}
}

func (b *behind) stopping() bool {
	select {
	case <-b.stop:
		return true
	default:
		return false
	}
}

// commit commits a batch and returns what has to be tried again: sends that went
// on already. failed says that a record of the batch was not stored.
func (b *behind) commit(batch []queuedRecord) (again []queuedRecord, failed bool) {
	set, from := make([]publisher.Entry, len(batch)), b.covered.Load()+1
	for i, q := range batch {
		q.rec.InboxFrom = int64(from)
		set[i] = sentEntry(b.c.partition(q.to.User), q.to, q.rec)
	}
	result := make(chan []publisher.Outcome, 1)
	outcomes := make([]publisher.Outcome, len(batch))
	if err := b.c.publisher.Commit(subject.SentStream(0), set, func(o []publisher.Outcome) { result <- o }); err == nil {
		outcomes = <-result // the writer gives up by itself
	} else {
		for i := range outcomes {
			outcomes[i].Err = err
		}
	}
	var cause error
	for i, q := range batch {
		failed = failed || outcomes[i].Err != nil
		if q.done != nil {
			q.done(outcomes[i])
		} else if outcomes[i].Err != nil {
			again, cause = append(again, q), outcomes[i].Err
		}
	}
	if cause != nil {
		b.c.log.Warn("records of sends were not stored; it is tried again, and their messages stay in the inboxes", "records", len(again), "error", cause)
	}
	return again, failed
}

// settle takes a batch off the queue, but for what has to be tried again, and
// returns who waited for it.
func (b *behind) settle(batch, again []queuedRecord) (ready []behindWaiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(again, b.queue[len(batch):]...)
	b.durable += uint64(len(batch) - len(again))
	for _, q := range batch {
		of := b.devices[q.to]
		of.queued--
		if q.done != nil {
			of.waiting--
		}
		b.devices[q.to] = of
	}
	for _, q := range again {
		of := b.devices[q.to]
		of.queued++
		b.devices[q.to] = of
	}
	if len(again) > 0 {
		return nil // what is durable has a gap
	}
	n := 0
	for n < len(b.waiters) && b.waiters[n].until <= b.durable {
		n++
	}
	ready, b.waiters = b.waiters[:n:n], b.waiters[n:]
	return ready
}

// close commits what is queued, until a commit fails or ctx ends, and tells run to end.
func (b *behind) close(ctx context.Context) {
	b.mu.Lock()
	first := !b.closing
	b.closing = true
	b.mu.Unlock()
	if first {
		close(b.stop)
	}
	select {
	case <-b.stopped:
	case <-ctx.Done():
	}
}

// end tells those who still wait.
func (b *behind) end() {
	b.mu.Lock()
	waiters, queue := b.waiters, b.queue
	b.ended, b.waiters, b.queue = true, nil, nil
	for _, q := range queue {
		if q.done == nil {
			b.left++
		}
	}
	b.mu.Unlock()
	for _, q := range queue {
		if q.done != nil {
			q.done(publisher.Outcome{Err: publisher.ErrClosed})
		}
	}
	for _, w := range waiters {
		w.tell(publisher.ErrClosed)
	}
	close(b.stopped)
}
