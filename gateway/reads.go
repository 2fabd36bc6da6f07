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

// reads writes how far people have read. What it holds is written within every,
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
	upTo    map[schemas.Participant]schemas.MessageID // by sender or group, guarded by reads.mu
	writing chan struct{}                             // 1 long; holds one while somebody writes, others wait for it to end
}

func newReads(o *Options, written prometheus.Counter) *reads {
	return &reads{streams: o.Streams, log: o.Log, every: o.ReadDelay, written: written,
		readers: make(map[schemas.UserID]*readerMarks)}
}

// add notes that reader has read the messages of a sender, or a group, up to id. It is no news
// where that waits to be written already, or a later one.
func (r *reads) add(ctx context.Context, of schemas.Participant, reader schemas.UserID, id schemas.MessageID) (news bool, err error) {
	if r.full(reader) {
		if err := r.flush(ctx, reader); err != nil {
			return false, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.readers[reader]
	if m == nil {
		m = &readerMarks{upTo: make(map[schemas.Participant]schemas.MessageID, 1), writing: make(chan struct{}, 1)}
		r.readers[reader] = m
	}
	if id <= m.upTo[of] {
		return false, nil
	}
	m.upTo[of] = id
	return true, nil
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
		of, id, ok := r.take(reader, m)
		if !ok {
			return nil
		}
		if err := r.write(ctx, of, reader, id); err != nil {
			r.mu.Lock()
			m.upTo[of] = max(m.upTo[of], id)
			r.mu.Unlock()
			return err
		}
	}
}

// take removes one mark to be written; false where there is none, and then the
// reader is forgotten.
func (r *reads) take(reader schemas.UserID, m *readerMarks) (of schemas.Participant, id schemas.MessageID, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for of, id := range m.upTo {
		delete(m.upTo, of)
		return of, id, true
	}
	if r.readers[reader] == m {
		delete(r.readers, reader)
	}
	return schemas.Participant{}, "", false
}

// write makes a mark durable. What was read was delivered.
func (r *reads) write(ctx context.Context, of schemas.Participant, reader schemas.UserID, id schemas.MessageID) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	mark := schemas.Watermark{DeliveredUpTo: id, ReadUpTo: id}
	var err error
	if of.Group != "" {
		err = r.streams.AdvanceGroupReceipt(ctx, of.Group, reader, mark)
	} else {
		err = r.streams.AdvanceReceipt(ctx, of.User, reader, mark)
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
