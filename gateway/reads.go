package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/schemas"
	"roost/streams"
)

const (
	// readsEvery is how long a read waits at most before its watermark is written:
	// who scrolls reads many messages, and the last says it all.
	readsEvery = time.Second
	// maxReads bounds the senders whose messages one reader has read and that are
	// not written yet; the reader's next frame waits then.
	maxReads = 256
	// maxReadWriters bounds the writes under way.
	maxReadWriters = 16
	readTimeout    = 5 * time.Second
)

// reads writes how far people have read: for their own devices, and where they show it
// for the sender. What it holds is written within every,
// and in any case before the session that said so has ended; a write that failed is
// tried again.
type reads struct {
	streams *streams.Conn
	log     *slog.Logger
	every   time.Duration
	written prometheus.Counter

	mu      sync.Mutex // guards the rest
	readers map[schemas.UserID]*readerMarks
}

// readerMarks are one reader's.
type readerMarks struct {
	upTo    map[schemas.Participant]waitingMark // by sender or group, guarded by reads.mu
	writing chan struct{}                       // 1 long; holds one while somebody writes, others wait for it to end
}

// readMark says that somebody has read a chat up to a message, and whether they show it.
type readMark struct {
	id    schemas.MessageID
	shows bool
}

// waitingMark is what waits to be written of a chat: how far it was read, and how far
// the reader shows that, which may be less, or empty.
type waitingMark struct{ read, shown schemas.MessageID }

// merge is the larger of each.
func (m waitingMark) merge(o waitingMark) waitingMark {
	return waitingMark{max(m.read, o.read), max(m.shown, o.shown)}
}

func newReads(o *Options, written prometheus.Counter) *reads {
	return &reads{streams: o.Streams, log: o.Log, every: o.ReadDelay, written: written,
		readers: make(map[schemas.UserID]*readerMarks)}
}

// add notes that reader has read the messages of a sender, or a group, up to a mark. It is no news
// where that waits to be written already, or a later one.
func (r *reads) add(ctx context.Context, of schemas.Participant, reader schemas.UserID, mark readMark) (news bool, err error) {
	if r.full(reader) {
		if err := r.flush(ctx, reader); err != nil {
			return false, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.readers[reader]
	if m == nil {
		m = &readerMarks{upTo: make(map[schemas.Participant]waitingMark, 1), writing: make(chan struct{}, 1)}
		r.readers[reader] = m
	}
	added := waitingMark{read: mark.id}
	if mark.shows {
		added.shown = mark.id
	}
	before := m.upTo[of]
	m.upTo[of] = before.merge(added)
	return m.upTo[of] != before, nil
}

func (r *reads) full(reader schemas.UserID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.readers[reader]
	return m != nil && len(m.upTo) >= maxReads
}

// flush returns once all that was noted of a reader before is durable.
func (r *reads) flush(ctx context.Context, reader schemas.UserID) error {
	r.mu.Lock()
	m := r.readers[reader]
	r.mu.Unlock()
	if m == nil {
		return nil
	}
	select {
	case m.writing <- struct{}{}:
		defer func() { <-m.writing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		of, mark, ok := r.take(reader, m)
		if !ok {
			return nil
		}
		if err := r.write(ctx, of, reader, mark); err != nil {
			r.mu.Lock()
			m.upTo[of] = m.upTo[of].merge(mark)
			r.mu.Unlock()
			return err
		}
	}
}

// take removes one mark to be written; false where there is none, and then the
// reader is forgotten.
func (r *reads) take(reader schemas.UserID, m *readerMarks) (of schemas.Participant, mark waitingMark, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for of, mark := range m.upTo {
		delete(m.upTo, of)
		return of, mark, true
	}
	if r.readers[reader] == m {
		delete(r.readers, reader)
	}
	return schemas.Participant{}, waitingMark{}, false
}

// write makes a mark durable. What was read was delivered.
func (r *reads) write(ctx context.Context, of schemas.Participant, reader schemas.UserID, mark waitingMark) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := r.streams.Receipts().AdvanceReadMark(ctx, reader, of, mark.read); err != nil {
		return err
	}
	shown := schemas.Watermark{DeliveredUpTo: mark.shown, ReadUpTo: mark.shown}
	var err error
	switch {
	case mark.shown == "":
	case of.Group != "":
		err = r.streams.Receipts().AdvanceInGroup(ctx, of.Group, reader, shown)
	default:
		err = r.streams.Receipts().Advance(ctx, of.User, reader, shown)
	}
	if err != nil {
		return err
	}
	r.written.Inc()
	return nil
}

// run writes what waits, until ctx ends, and then what is left.
func (r *reads) run(ctx context.Context) {
	repeat(ctx, r.every, readTimeout, r.flushAll)
}

func (r *reads) flushAll(ctx context.Context) {
	r.mu.Lock()
	waiting := make([]schemas.UserID, 0, len(r.readers))
	for u := range r.readers {
		waiting = append(waiting, u)
	}
	r.mu.Unlock()
	var writers sync.WaitGroup
	slots := make(chan struct{}, maxReadWriters) // full: the next reader waits
	for _, u := range waiting {
		slots <- struct{}{}
		writers.Go(func() {
			defer func() { <-slots }()
			if err := r.flush(ctx, u); err != nil && ctx.Err() == nil {
				r.log.Warn("what was read is not written yet; it is tried again", "error", err)
			}
		})
	}
	writers.Wait()
}
