package sendlog

import (
	"context"
	"time"

	"roost/streams/publisher"
	"roost/streams/subject"
)

// run commits the queue until Close, and then once more.
func (l *Async) run() {
	defer l.end()
	delay := time.NewTimer(gatherTime)
	defer delay.Stop()
	for {
		select {
		case <-l.wake:
		case <-l.stop:
			l.commitQueue()
			return
		}
		delay.Reset(gatherTime)
		select {
		case <-delay.C:
		case <-l.hurry:
		case <-l.stop:
		}
		l.commitQueue()
	}
}

// commitQueue commits until nothing is queued. It tries a failure again until Close.
func (l *Async) commitQueue() {
	for {
		l.mu.Lock()
		n := min(len(l.queue), publisher.MaxBatch)
		batch, all := l.queue[:n:n], n == len(l.queue)
		// The record of a copy is queued before the copy is committed: with this batch all
		// of those up to here are on record.
		upTo := l.copied.Load()
		l.mu.Unlock()
		if n == 0 {
			return
		}
		again, failed := l.commit(batch)
		ready := l.finish(batch, again)
		if len(again) == 0 && all {
			l.recorded.Store(upTo)
		}
		for _, w := range ready {
			w.tell(nil)
		}
		if failed && l.isStopping() {
			return // the rest would wait as long, batch after batch
		}
		if len(again) > 0 {
			select {
			case <-time.After(retryPause):
			case <-l.stop:
				return
			}
		}
	}
}

func (l *Async) isStopping() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// commit commits a batch and returns the records that have to be tried again: those of
// sends that went on already. failed says that a record of the batch was not stored.
func (l *Async) commit(batch []queued) (again []queued, failed bool) {
	set, from := make([]publisher.Entry, len(batch)), l.recorded.Load()+1
	for i, q := range batch {
		q.rec.InboxFrom = int64(from)
		set[i] = entry(l.first.partition(q.to), q.to, q.rec)
	}
	result := make(chan []publisher.Outcome, 1)
	outcomes := make([]publisher.Outcome, len(batch))
	if err := l.first.publisher.Commit(subject.SentStream(0), set, func(o []publisher.Outcome) { result <- o }); err == nil {
		outcomes = <-result // the publisher gives up by itself
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
		l.first.log.Warn("records of sends were not stored; it is tried again, and their messages stay in the inboxes", "records", len(again), "error", cause)
	}
	return again, failed
}

// finish takes a batch off the queue, except the records to be tried again, and returns
// the waiters whose records are durable now.
func (l *Async) finish(batch, again []queued) (ready []waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(again, l.queue[len(batch):]...)
	l.durable += uint64(len(batch) - len(again))
	for _, q := range batch {
		of := l.devices[q.to]
		of.queued--
		if q.done != nil {
			of.waiting--
		}
		l.devices[q.to] = of
	}
	for _, q := range again {
		of := l.devices[q.to]
		of.queued++
		l.devices[q.to] = of
	}
	if len(again) > 0 {
		return nil // the durable records have a gap
	}
	n := 0
	for n < len(l.waiters) && l.waiters[n].until <= l.durable {
		n++
	}
	ready, l.waiters = l.waiters[:n:n], l.waiters[n:]
	return ready
}

// Close implements [Log]. It may be called again.
func (l *Async) Close(ctx context.Context) {
	l.mu.Lock()
	if l.phase == running {
		l.phase = closing
		close(l.stop)
	}
	l.mu.Unlock()
	select {
	case <-l.stopped:
	case <-ctx.Done():
	}
}

// Left implements [Log].
func (l *Async) Left() int {
	<-l.stopped
	return l.left
}

// end answers the remaining queued records and waiters with ErrClosed.
func (l *Async) end() {
	l.mu.Lock()
	waiters, queue := l.waiters, l.queue
	l.phase, l.waiters, l.queue = ended, nil, nil
	for _, q := range queue {
		if q.done == nil {
			l.left++
		}
	}
	l.mu.Unlock()
	for _, q := range queue {
		if q.done != nil {
			q.done(publisher.Outcome{Err: publisher.ErrClosed})
		}
	}
	for _, w := range waiters {
		w.tell(publisher.ErrClosed)
	}
	close(l.stopped)
}
