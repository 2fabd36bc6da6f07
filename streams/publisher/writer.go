package publisher

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// writer publishes the entries of one stream and receives the answers.
type writer struct {
	// Static.
	nc      *nats.Conn
	stream  string
	timeout time.Duration
	most    int // of singles: Options.Singles
	log     *slog.Logger
	reply   string // prefix of reply subjects; the token is a counter
	name    string // prefix of batch ids
	sub     *nats.Subscription
	wake    chan struct{} // 1; commit and answers fill it, run empties it; full means that run will look
	stop    chan struct{} // closed by close
	stopped chan struct{} // closed by run
	msg     nats.Msg      // owned by the goroutine that publishes

	mu         sync.Mutex // guards the rest
	phase      phase
	publishing bool   // a goroutine does
	queue      []*set // sets that are not published yet; the first may be in part
	queued     int    // entries in queue
	refused    []span // entries of a refused batch that are not published again yet
	inflight   map[uint64]publication
	singles    int       // publications of one entry in inflight
	oldest     uint64    // no token below it is in flight
	next       uint64    // the next token
	failing    error     // of the newest outcome, if the stream stored nothing; else nil
	since      time.Time // of the first outcome of which failing is the newest
}

// phase is what a writer may publish now. Only [writer.enter] changes it.
type phase int

const (
	// pipelining: entries one by one, as many as may be in flight, or the next batch.
	pipelining phase = iota
	// batching: nothing, because a batch is in flight.
	batching
	// repeating: the entries of a refused batch one by one, and nothing else before the
	// last of them is published.
	repeating
	// closed: nothing any more.
	closed
)

// enter is the one place where the phase changes. mu is held.
func (w *writer) enter(next phase) {
	valid := false
	switch w.phase {
	case pipelining:
		valid = next == batching || next == closed
	case batching:
		valid = next != batching
	case repeating:
		valid = next == pipelining || next == closed
	case closed:
	}
	if !valid {
		panic(fmt.Sprintf("publisher: phase %d after %d", next, w.phase))
	}
	w.phase = next
}

// set is one call of Commit in progress.
type set struct {
	entries  []Entry
	outcomes []Outcome
	since    time.Time
	taken    int             // entries that left the queue
	missing  int             // outcomes still to come
	done     func([]Outcome) // nil once it was called
}

// complete calls done. That is the one place where a commit ends.
func (s *set) complete() {
	done := s.done
	s.done = nil
	done(s.outcomes) // a second call would panic
}

// span is a run of entries of one set.
type span struct {
	set      *set
	from, to int
}

// publication is the part that one answer of the stream decides: a single entry, or all entries of
// a batch.
type publication struct {
	spans []span
	batch bool
	sent  time.Time
}

func startWriter(nc *nats.Conn, stream string, opts Options) (*writer, error) {
	inbox := nc.NewInbox()
	w := &writer{
		nc: nc, stream: stream, timeout: opts.Timeout, most: opts.Singles, log: opts.Log,
		reply:    inbox + ".",
		name:     inbox[strings.LastIndexByte(inbox, '.')+1:][:8] + ".", // every entry of a batch carries it
		wake:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
		inflight: make(map[uint64]publication),
	}
	sub, err := nc.Subscribe(w.reply+"*", w.answer)
	if err != nil {
		return nil, fmt.Errorf("failed to subscribe for answers of %s: %w", stream, err)
	}
	// At most Options.Singles+1 are awaited; a bound here would only lose answers.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("failed to subscribe for answers of %s: %w", stream, err)
	}
	w.sub = sub
	go w.run()
	return w, nil
}

// commit is [Publisher.Commit] for the stream of the writer.
func (w *writer) commit(entries []Entry, done func([]Outcome)) error {
	if len(entries) == 0 {
		return fmt.Errorf("a commit to %s has no entries", w.stream)
	}
	w.mu.Lock()
	if w.phase == closed {
		w.mu.Unlock()
		return ErrClosed
	}
	if w.queued+len(entries) > MaxQueued {
		w.mu.Unlock()
		return ErrBusy
	}
	idle := w.queued == 0 && len(w.inflight) == 0 && len(entries) <= w.most
	w.queue = append(w.queue, &set{entries: entries, since: time.Now(),
		outcomes: make([]Outcome, len(entries)), missing: len(entries), done: done})
	w.queued += len(entries)
	w.mu.Unlock()
	if idle {
		w.publishWaiting() // sooner than run would
	} else {
		w.signal()
	}
	return nil
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run publishes the queued entries until close, and gives up on entries that stay
// unanswered.
func (w *writer) run() {
	defer close(w.stopped)
	tick := time.NewTicker(max(w.timeout/10, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-w.wake:
			w.publishWaiting()
		case <-tick.C:
			t := time.Now().Add(-w.timeout)
			w.giveUp(t)
			w.expire(t)
		case <-w.stop:
			return
		}
	}
}

// giveUp refuses the sets that have waited since before t and were not published: their
// callers know that nothing is stored.
func (w *writer) giveUp(t time.Time) {
	var late []span
	w.mu.Lock()
	for len(w.queue) > 0 && w.queue[0].taken == 0 && w.queue[0].since.Before(t) {
		late = append(late, w.take(len(w.queue[0].entries)))
	}
	w.mu.Unlock()
	if len(late) > 0 {
		w.log.Warn("commits waited for too long", "stream", w.stream, "sets", len(late))
		w.report(late, func(int) Outcome { return Outcome{Err: fmt.Errorf("%w: it waited for too long", ErrNotStored)} })
	}
}

// expire gives up on publications from before t, in the order of sending.
func (w *writer) expire(t time.Time) {
	for n := 0; ; n++ {
		w.mu.Lock()
		for w.oldest < w.next {
			if _, ok := w.inflight[w.oldest]; ok {
				break
			}
			w.oldest++
		}
		token := w.oldest
		p, ok := w.inflight[token]
		w.mu.Unlock()
		if !ok || p.sent.After(t) {
			if n > 0 {
				w.log.Warn("commits got no answer", "stream", w.stream, "publications", n)
			}
			return
		}
		w.resolve(token, Outcome{Err: ErrUnknownOutcome})
	}
}

// close stops the writer. Entries without an answer are reported with ErrClosed: their
// outcome is unknown, as that of any other entry without an answer.
func (w *writer) close() {
	w.mu.Lock()
	w.enter(closed)
	w.mu.Unlock()
	close(w.stop)
	<-w.stopped

	w.mu.Lock()
	rest := w.refused
	for _, p := range w.inflight {
		rest = append(rest, p.spans...)
	}
	for _, s := range w.queue {
		rest = append(rest, span{s, s.taken, len(s.entries)})
	}
	w.queue, w.queued, w.refused = nil, 0, nil
	clear(w.inflight)
	w.mu.Unlock()
	w.report(rest, func(int) Outcome { return Outcome{Err: ErrClosed} })
	_ = w.sub.Unsubscribe() // fails only if the connection is closed
}
