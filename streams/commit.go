package streams

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"roost/schemas"
)

// Entry is one message to be committed to a stream.
type Entry struct {
	Subject string
	// ID is the Nats-Msg-Id: a second entry with it, within the stream's window,
	// is a duplicate of the first.
	ID   string
	Data []byte
	// Keep marks an entry of MESSAGES that history workers store.
	Keep bool
	// ExpiresAt is when the entry leaves the stream by itself; 0 is when the stream's
	// own limits say so.
	ExpiresAt schemas.Timestamp
	// Guarded has the stream refuse the entry with ErrStale unless Previous is the
	// sequence of the newest entry of its subject; 0 is a subject without entries.
	Guarded  bool
	Previous uint64
}

// Outcome is what became of one Entry.
type Outcome struct {
	Sequence  uint64 // in the stream; of the first one where Duplicate
	Duplicate bool   // the stream has an entry with that ID already
	// Err is nil where the entry is durable: stored by the stream's rules before
	// it answered. ErrInboxFull, ErrStale and ErrNotStored mean that it is not stored,
	// ErrUnknownOutcome and ErrClosed that it may be.
	Err error
}

// Errors of a commit.
var (
	// ErrInboxFull: the subject holds all that it may.
	ErrInboxFull = errors.New("the inbox is full")
	// ErrStale: the subject of a guarded entry has another newest entry than Previous.
	ErrStale = errors.New("the subject has changed meanwhile")
	// ErrUnknownOutcome: no answer in time. The entry may be stored; committing
	// it again under its ID is safe.
	ErrUnknownOutcome = errors.New("no answer from the stream in time")
	// ErrNotStored: the stream refused the entry, or it waited for too long to be
	// published.
	ErrNotStored = errors.New("the stream did not store it")
	// ErrBusy: too much waits already. Nothing was taken.
	ErrBusy = errors.New("too many commits wait for the stream")
	// ErrClosed: the Conn is closing.
	ErrClosed = errors.New("closing")
)

// Committer commits sets of entries to one stream. Sets are taken in the order
// of the calls, and entries in the order of their set, so what one goroutine
// commits is stored in that order. done is called exactly once for each set that
// was taken, with one outcome an entry, on a goroutine of the Committer or, where
// nothing can be published, of the caller: it must not block. An error means that
// nothing of the set was taken and done is never called. Commit does not wait for
// the stream.
type Committer interface {
	Commit(set []Entry, done func([]Outcome)) error
}

const (
	// maxQueued bounds the entries that wait in a writer. Beyond, Commit answers
	// ErrBusy, and senders are told to come again.
	maxQueued = 16 << 10
	// defaultSingles is the default of Options.Singles.
	defaultSingles = 16
	// maxBatch and maxBatchBytes bound one atomic batch. The server takes no more
	// than 1,000 messages.
	maxBatch      = 1000
	maxBatchBytes = 1 << 20

	keepHeader = "Roost-Keep"
)

// writer is the Committer of one stream: a goroutine that takes whatever waits
// and publishes it, and a subscription that hears the answers. Where nothing is
// under way, who commits publishes.
//
// Few entries are published one by one, pipelined; many as one atomic batch (NATS
// ADR-50), which the server syncs to disk once. There is no timer: while the
// stream works, the next batch gathers. Behind a batch nothing is published until
// it is answered, so that the entries of a refused batch, published one by one,
// still come before everything later.
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
	wake    chan struct{} // 1; written by Commit and answers, read by run; full means run will look anyway
	stop    chan struct{} // closed by close
	stopped chan struct{} // closed by run
	msg     nats.Msg      // owned by who publishes

	mu       sync.Mutex // guards the rest
	queue    []*set     // what nobody published yet; the first may be taken in part
	queued   int        // entries in queue
	apart    []span     // entries of a refused batch, to be published one by one
	inflight map[uint64]publication
	singles  int    // publications of one entry in inflight
	batching bool   // a batch is in inflight
	busy     bool   // somebody publishes
	oldest   uint64 // no token below it is in flight
	next     uint64 // the next token
	closing  bool
}

// set is one call of Commit under way.
type set struct {
	entries  []Entry
	outcomes []Outcome
	since    time.Time
	taken    int // entries that left the queue
	missing  int // outcomes still to come
	done     func([]Outcome)
}

// span is a run of entries of one set.
type span struct {
	set      *set
	from, to int
}

// publication is what one answer of the stream will settle: a single entry, or
// all entries of a batch.
type publication struct {
	spans []span
	batch bool
	sent  time.Time
}

var _ Committer = (*writer)(nil)

// committer returns the one writer of a stream in this process, and starts it
// where it is the first use.
func (c *Conn) committer(stream string) (Committer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if w := c.writers[stream]; w != nil {
		return w, nil
	}
	w, err := startWriter(c.commits, stream, c.opts, c.log)
	if err != nil {
		return nil, err
	}
	c.writers[stream] = w
	return w, nil
}

func startWriter(nc *nats.Conn, stream string, opts Options, log *slog.Logger) (*writer, error) {
	inbox := nc.NewInbox()
	w := &writer{
		nc: nc, stream: stream, timeout: opts.CommitTimeout, most: opts.Singles, log: log,
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

// Commit implements [Committer].
func (w *writer) Commit(entries []Entry, done func([]Outcome)) error {
	if len(entries) == 0 {
		return fmt.Errorf("a commit to %s has no entries", w.stream)
	}
	w.mu.Lock()
	if w.closing {
		w.mu.Unlock()
		return ErrClosed
	}
	if w.queued+len(entries) > maxQueued {
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

func (w *writer) signal() { poke(w.wake) }

// poke fills a channel of one, unless it is full.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run publishes what waits until close, and gives up on what stays unanswered.
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

// giveUp refuses what has waited since before t and was not published: those who
// wait for it are told, and know that it is not stored.
func (w *writer) giveUp(t time.Time) {
	var late []span
	w.mu.Lock()
	for len(w.queue) > 0 && w.queue[0].taken == 0 && w.queue[0].since.Before(t) {
		late = append(late, w.take(len(w.queue[0].entries)))
	}
	w.mu.Unlock()
	if len(late) > 0 {
		w.log.Warn("commits waited for too long", "stream", w.stream, "sets", len(late))
		w.settle(late, func(int) Outcome { return Outcome{Err: fmt.Errorf("%w: it waited for too long", ErrNotStored)} })
	}
}

// expire gives up on what was sent before t, in the order of sending.
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

// close stops the writer; what has no answer is reported with ErrClosed. The
// outcome of such an entry is unknown, like any other without an answer.
func (w *writer) close() {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	close(w.stop)
	<-w.stopped

	w.mu.Lock()
	rest := w.apart
	for _, p := range w.inflight {
		rest = append(rest, p.spans...)
	}
	for _, s := range w.queue {
		rest = append(rest, span{s, s.taken, len(s.entries)})
	}
	w.queue, w.queued, w.apart = nil, 0, nil
	clear(w.inflight)
	w.mu.Unlock()
	w.settle(rest, func(int) Outcome { return Outcome{Err: ErrClosed} })
	_ = w.sub.Unsubscribe()
}
