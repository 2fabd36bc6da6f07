package publisher

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// Headers of a publish, NATS ADR-22, ADR-43 and ADR-50.
const (
	idHeader       = "Nats-Msg-Id"
	batchHeader    = "Nats-Batch-Id"
	sequenceHeader = "Nats-Batch-Sequence"
	commitHeader   = "Nats-Batch-Commit"
	ttlHeader      = "Nats-TTL" // ADR-43, in seconds
	previousHeader = "Nats-Expected-Last-Subject-Sequence"
	// headerRoom is more than all headers of an entry together but its ID.
	headerRoom = 256
)

// publishWaiting publishes until the queue is empty or the stream has to answer first,
// unless another goroutine publishes already.
func (w *writer) publishWaiting() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.publishing {
		return
	}
	w.publishing = true
	defer func() { w.publishing = false }()
	for {
		room := w.most - w.singles
		switch {
		case w.phase == batching || w.phase == closed:
			return
		case w.phase == repeating:
			room = min(room, len(w.refused))
		case w.queued > w.most && !w.tooLarge(&w.queue[0].entries[w.queue[0].taken]):
			spans, token := w.takeBatch()
			w.mu.Unlock()
			w.publishBatch(spans, token)
			w.mu.Lock()
			continue
		default:
			room = min(room, w.queued)
		}
		if room <= 0 {
			return
		}
		one := w.takeSingle()
		token := w.await(publication{spans: []span{one}})
		w.singles++
		w.mu.Unlock()
		if err := w.publish(&one.set.entries[one.from], token); err != nil {
			w.resolve(token, Outcome{Err: fmt.Errorf("%w: %w", ErrNotStored, err)})
		}
		w.mu.Lock()
	}
}

// await makes the next token that of p.
func (w *writer) await(p publication) (token uint64) {
	token = w.next
	w.next++
	p.sent = time.Now()
	w.inflight[token] = p
	return token
}

// takeSingle takes the next entry, first from a refused batch.
func (w *writer) takeSingle() span {
	if w.phase != repeating {
		return w.take(1)
	}
	s := &w.refused[0]
	one := span{s.set, s.from, s.from + 1}
	if s.from++; s.from == s.to {
		if w.refused = w.refused[1:]; len(w.refused) == 0 {
			w.enter(pipelining)
		}
	}
	return one
}

// take takes the next n entries of the first set, which has them.
func (w *writer) take(n int) span {
	s := w.queue[0]
	taken := span{s, s.taken, s.taken + n}
	s.taken += n
	w.queued -= n
	if s.taken == len(s.entries) {
		w.queue[0] = nil
		w.queue = w.queue[1:]
	}
	return taken
}

// takeBatch takes the queued entries, as many as one batch may have. It splits a set
// only if the set by itself is larger.
func (w *writer) takeBatch() ([]span, uint64) {
	spans, n, size := make([]span, 0, len(w.queue)), 0, 0
	for len(w.queue) > 0 {
		s, fit := w.queue[0], 0
		for i := s.taken; i < len(s.entries) && n+fit < MaxBatch; i++ {
			more := s.entries[i].size()
			if size+more > maxBatchBytes || w.tooLarge(&s.entries[i]) {
				break
			}
			size += more
			fit++
		}
		if fit < len(s.entries)-s.taken && (n > 0 || fit == 0) {
			break
		}
		spans = append(spans, w.take(fit))
		n += fit
	}
	w.enter(batching)
	return spans, w.await(publication{spans: spans, batch: true})
}

// tooLarge reports whether an entry is published by itself: no batch has room for it, or
// the server will refuse it.
func (w *writer) tooLarge(e *Entry) bool {
	return e.size() > maxBatchBytes || int64(e.size()) > w.nc.MaxPayload()
}

func (w *writer) publish(e *Entry, token uint64) error {
	w.prepare(e)
	w.msg.Reply = w.replyTo(token)
	return w.nc.PublishMsg(&w.msg)
}

// publishBatch publishes entries that are stored together or not at all. The server
// stages all but the last without an answer; the last commits.
func (w *writer) publishBatch(spans []span, token uint64) {
	id, n, last := w.name+strconv.FormatUint(token, 36), 0, countEntries(spans)
	for _, s := range spans {
		for i := s.from; i < s.to; i++ {
			n++
			w.prepare(&s.set.entries[i])
			w.msg.Header[batchHeader] = []string{id}
			w.msg.Header[sequenceHeader] = []string{strconv.Itoa(n)}
			if n == last {
				w.msg.Header[commitHeader] = []string{"1"}
				w.msg.Reply = w.replyTo(token)
			}
			if err := w.nc.PublishMsg(&w.msg); err != nil {
				// Without the last one nothing of the batch is stored.
				w.resolve(token, Outcome{Err: fmt.Errorf("%w: %w", ErrNotStored, err)})
				return
			}
		}
	}
}

// prepare fills msg with an entry.
func (w *writer) prepare(e *Entry) {
	if w.msg.Header == nil {
		w.msg.Header = make(nats.Header, 6)
	}
	clear(w.msg.Header)
	w.msg.Subject, w.msg.Data, w.msg.Reply = e.Subject, e.Data, ""
	if e.ID != "" {
		w.msg.Header[idHeader] = []string{e.ID}
	}
	if e.Keep {
		w.msg.Header[KeepHeader] = []string{"1"}
	}
	if e.Guarded {
		w.msg.Header[previousHeader] = []string{strconv.FormatUint(e.Previous, 10)}
	}
	if e.ExpiresAt != 0 {
		left := time.Until(e.ExpiresAt.Time())
		w.msg.Header[ttlHeader] = []string{strconv.FormatInt(max(1, int64(math.Ceil(left.Seconds()))), 10)}
	}
}

func (w *writer) replyTo(token uint64) string { return w.reply + strconv.FormatUint(token, 36) }
