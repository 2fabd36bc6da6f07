package streams

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
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
}

// Outcome is what became of one Entry.
type Outcome struct {
	Sequence  uint64 // in the stream; of the first one where Duplicate
	Duplicate bool   // the stream has an entry with that ID already
	// Err is nil where the entry is durable: stored by the stream's rules before
	// it answered. ErrInboxFull and ErrRefused… mean it is not stored;
	// ErrUnknownOutcome that it may be.
	Err error
}

// Errors of a commit.
var (
	// ErrInboxFull: the subject holds all that it may.
	ErrInboxFull = errors.New("the inbox is full")
	// ErrUnknownOutcome: no answer in time. The entry may be stored; committing
	// it again under its ID is safe.
	ErrUnknownOutcome = errors.New("no answer from the stream in time")
	// ErrNotStored: the stream refused the entry.
	ErrNotStored = errors.New("the stream did not store it")
	// ErrBusy: too much waits already. Nothing was taken.
	ErrBusy = errors.New("too many commits wait for the stream")
	// ErrClosed: the Conn is closing.
	ErrClosed = errors.New("closing")
)

// Committer commits sets of entries to one stream. Sets are taken in the order
// of the calls, and entries in the order of their set, so what one goroutine
// commits is stored in that order. done is called exactly once for each set that
// was taken, with one outcome an entry, on a goroutine of the Committer: it must
// not block. An error means that nothing of the set was taken and done is never
// called. Commit itself never blocks.
type Committer interface {
	Commit(set []Entry, done func([]Outcome)) error
}

const (
	// maxQueued bounds the entries that wait in a writer. Beyond, Commit answers
	// ErrBusy, and senders are told to come again.
	maxQueued = 16 << 10
	// maxUnanswered bounds the publishes that the stream has not answered.
	maxUnanswered = 4 << 10

	keepHeader = "Roost-Keep"
)

// writer is the Committer of one stream: a goroutine that takes whatever waits
// and publishes it pipelined, and a subscription that hears the answers.
type writer struct {
	// Static.
	nc      *nats.Conn
	stream  string
	timeout time.Duration
	log     *slog.Logger
	reply   string // prefix of reply subjects; the token is a counter
	sub     *nats.Subscription
	wake    chan struct{} // 1; written by Commit and answers, read by run; full means run will look anyway
	stop    chan struct{} // closed by close
	stopped chan struct{} // closed by run

	mu       sync.Mutex // guards the rest
	queue    []*set
	queued   int // entries in queue
	inflight map[uint64]publication
	oldest   uint64 // no token below it is in flight
	next     uint64 // the next token
	closing  bool
}

// set is one call of Commit under way.
type set struct {
	entries  []Entry
	outcomes []Outcome
	missing  int // outcomes still to come
	done     func([]Outcome)
}

// publication is one entry without an answer.
type publication struct {
	set   *set
	index int
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
	w, err := startWriter(c.commits, stream, c.opts.CommitTimeout, c.log)
	if err != nil {
		return nil, err
	}
	c.writers[stream] = w
	return w, nil
}

func startWriter(nc *nats.Conn, stream string, timeout time.Duration, log *slog.Logger) (*writer, error) {
	w := &writer{
		nc: nc, stream: stream, timeout: timeout, log: log,
		reply:    nc.NewInbox() + ".",
		wake:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
		inflight: make(map[uint64]publication),
	}
	sub, err := nc.Subscribe(w.reply+"*", w.answer)
	if err != nil {
		return nil, fmt.Errorf("failed to subscribe for answers of %s: %w", stream, err)
	}
	// Bounded by maxUnanswered already; a second bound would only lose answers.
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
	defer w.mu.Unlock()
	if w.closing {
		return ErrClosed
	}
	if w.queued+len(entries) > maxQueued {
		return ErrBusy
	}
	w.queue = append(w.queue, &set{entries: entries, outcomes: make([]Outcome, len(entries)), missing: len(entries), done: done})
	w.queued += len(entries)
	w.signal()
	return nil
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
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
			w.expire(time.Now().Add(-w.timeout))
		case <-w.stop:
			return
		}
	}
}

// publishWaiting sends whole sets while the stream has room for them.
func (w *writer) publishWaiting() {
	for {
		w.mu.Lock()
		if len(w.queue) == 0 || len(w.inflight) > 0 && len(w.inflight)+len(w.queue[0].entries) > maxUnanswered {
			w.mu.Unlock()
			return
		}
		s := w.queue[0]
		w.queue = w.queue[1:]
		w.queued -= len(s.entries)
		first, now := w.next, time.Now()
		w.next += uint64(len(s.entries))
		for i := range s.entries {
			w.inflight[first+uint64(i)] = publication{set: s, index: i, sent: now}
		}
		w.mu.Unlock()

		for i := range s.entries {
			token := first + uint64(i)
			if err := w.publish(&s.entries[i], token); err != nil {
				w.resolve(token, Outcome{Err: fmt.Errorf("%w: %w", ErrNotStored, err)})
			}
		}
	}
}

func (w *writer) publish(e *Entry, token uint64) error {
	m := &nats.Msg{Subject: e.Subject, Reply: w.reply + strconv.FormatUint(token, 36), Data: e.Data}
	if e.ID != "" {
		m.Header = nats.Header{"Nats-Msg-Id": {e.ID}}
		if e.Keep {
			m.Header[keepHeader] = []string{"1"}
		}
	}
	return w.nc.PublishMsg(m)
}

// answer hears one answer of the stream, on the subscription's goroutine.
func (w *writer) answer(m *nats.Msg) {
	token, err := strconv.ParseUint(m.Subject[len(w.reply):], 36, 64)
	if err != nil {
		return
	}
	w.resolve(token, parseAnswer(m))
}

func parseAnswer(m *nats.Msg) Outcome {
	if m.Header.Get("Status") == "503" {
		return Outcome{Err: fmt.Errorf("%w: no stream listens", ErrNotStored)}
	}
	var ack struct {
		Sequence  uint64    `json:"seq"`
		Duplicate bool      `json:"duplicate"`
		Error     *apiError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return Outcome{Err: fmt.Errorf("%w: unreadable answer: %w", ErrUnknownOutcome, err)}
	}
	if ack.Error != nil {
		if strings.Contains(ack.Error.Description, "maximum messages per subject") {
			return Outcome{Err: ErrInboxFull}
		}
		return Outcome{Err: fmt.Errorf("%w: %s (%d)", ErrNotStored, ack.Error.Description, ack.Error.Code)}
	}
	return Outcome{Sequence: ack.Sequence, Duplicate: ack.Duplicate}
}

// resolve records one outcome and, with the last of a set, tells its owner. An
// answer that comes after its entry was given up finds nothing to do.
func (w *writer) resolve(token uint64, o Outcome) {
	w.mu.Lock()
	p, ok := w.inflight[token]
	if !ok {
		w.mu.Unlock()
		return
	}
	delete(w.inflight, token)
	p.set.outcomes[p.index] = o
	p.set.missing--
	complete := p.set.missing == 0
	if len(w.queue) > 0 {
		w.signal()
	}
	w.mu.Unlock()
	if complete {
		p.set.done(p.set.outcomes)
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
				w.log.Warn("commits got no answer", "stream", w.stream, "entries", n)
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
	queue := w.queue
	w.queue, w.queued = nil, 0
	w.mu.Unlock()
	close(w.stop)
	<-w.stopped
	for _, s := range queue {
		for i := range s.outcomes {
			s.outcomes[i].Err = ErrClosed
		}
		s.done(s.outcomes)
	}
	w.mu.Lock()
	rest := make([]uint64, 0, len(w.inflight))
	for token := range w.inflight {
		rest = append(rest, token)
	}
	w.mu.Unlock()
	for _, token := range rest {
		w.resolve(token, Outcome{Err: ErrClosed})
	}
	_ = w.sub.Unsubscribe()
}
