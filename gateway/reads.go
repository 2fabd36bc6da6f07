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
	// readsEvery is after what time a read mark is written at the latest. A user who scrolls
	// reads many messages, and the last mark is enough.
	readsEvery = time.Second
	// maxReads bounds the chats of one reader whose marks are not written yet. With more, the
	// reader's next frame waits.
	maxReads = 256
	// maxReadWriters bounds the writes at a time.
	maxReadWriters = 16
	readTimeout    = 5 * time.Second
)

// reads writes how far users have read: for their own devices, and for the sender if the user shows
// it. It writes each mark within every, and at the latest before the session that set it has
// ended. It retries a write that failed.
type reads struct {
	streams *streams.Conn
	log     *slog.Logger
	every   time.Duration
	written prometheus.Counter

	mu      sync.Mutex // guards the rest
	readers map[schemas.UserID]*readerMarks
}

// readerMarks are the marks of one reader that are not written yet.
type readerMarks struct {
	upTo    map[schemas.Participant]waitingMark // by sender or group, guarded by reads.mu
	writing chan struct{}                       // size 1; holds one during a write, and other writers wait
}

// readMark is how far a user has read a chat, and whether they show it.
type readMark struct {
	id    schemas.MessageID
	shows bool
}

// waitingMark is a mark that is not written yet: how far a chat was read, and how far the reader
// shows that, which may be less, or empty.
type waitingMark struct{ read, shown schemas.MessageID }

// merge returns the larger of each.
func (m waitingMark) merge(o waitingMark) waitingMark {
	return waitingMark{max(m.read, o.read), max(m.shown, o.shown)}
}

func newReads(o *Options, written prometheus.Counter) *reads {
	return &reads{streams: o.Streams, log: o.Log, every: o.ReadDelay, written: written,
		readers: make(map[schemas.UserID]*readerMarks)}
}

// add notes that reader has read the messages of a sender, or of a group, up to a mark. It is no
// news if the same mark or a later one waits already.
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

// flush returns when all marks that a reader set before are durable.
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

// take removes one mark to write. It returns false if there is none, and then forgets the reader.
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

// write makes a mark durable. A message that was read was delivered.
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

// run writes marks until ctx ends, and then the rest.
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
				r.log.Warn("read marks were not written; this is retried", "error", err)
			}
		})
	}
	writers.Wait()
}
