package publisher

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Publisher commits sets of entries to streams. Methods may be called concurrently.
type Publisher struct {
	nc   *nats.Conn
	opts Options

	mu      sync.Mutex // guards the rest
	writers map[string]*writer
	closed  bool
}

// Options of a Publisher.
type Options struct {
	// Timeout is how long a commit may stay without an answer before its outcome is
	// unknown.
	Timeout time.Duration
	// Singles is how many entries may be in flight to a stream one by one. If more wait,
	// they go as one atomic batch. docs/performance.md has the measured crossovers.
	Singles int
	Log     *slog.Logger
}

const (
	// MaxQueued bounds the entries that wait in a writer. Beyond it, Commit returns
	// ErrBusy, and senders get an error that asks for a retry.
	MaxQueued = 16 << 10
	// DefaultSingles is a good value of Options.Singles.
	DefaultSingles = 16
	// MaxBatch and maxBatchBytes bound one atomic batch. The server takes no more than
	// 1,000 messages.
	MaxBatch      = 1000
	maxBatchBytes = 1 << 20

	// KeepHeader marks the entries with Entry.Keep in a stream; its value is "1".
	KeepHeader = "Roost-Keep"
)

// New makes a Publisher that publishes on a connection.
func New(nc *nats.Conn, opts Options) *Publisher {
	return &Publisher{nc: nc, opts: opts, writers: make(map[string]*writer)}
}

// Commit commits a set to a stream and does not wait for it. Sets are taken in the order
// of the calls, and entries in the order of their set, so what one goroutine commits is
// stored in that order.
//
//  1. After a nil error, done is called exactly once, with one outcome an entry. It is
//     called on a goroutine of the Publisher or, if nothing can be published, on that of
//     the caller. It must not block.
//  2. After an error, nothing of the set was taken and done is never called.
func (p *Publisher) Commit(stream string, set []Entry, done func([]Outcome)) error {
	w, err := p.writer(stream)
	if err == nil {
		err = w.commit(set, done)
	}
	if err != nil {
		return &CommitError{stream, err}
	}
	return nil
}

// Store is Commit, and waits for the outcome of each entry. After an error of ctx entries
// may be stored all the same.
func (p *Publisher) Store(ctx context.Context, stream string, set []Entry) ([]Outcome, error) {
	done := make(chan []Outcome, 1)
	if err := p.Commit(stream, set, func(o []Outcome) { done <- o }); err != nil {
		return nil, err
	}
	select {
	case outcomes := <-done:
		return outcomes, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// StoreAll is Store; the error is the first of an entry.
func (p *Publisher) StoreAll(ctx context.Context, stream string, set []Entry) error {
	outcomes, err := p.Store(ctx, stream, set)
	if err != nil {
		return err
	}
	return FirstError(outcomes)
}

// Failure reports that a stream stored nothing at the last try.
type Failure struct {
	Stream string
	Since  time.Time
	Err    error
}

// Failing returns the streams that stored nothing at the last try, by name.
func (p *Publisher) Failing() []Failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Failure
	for stream, w := range p.writers {
		w.mu.Lock()
		if w.failing != nil {
			all = append(all, Failure{stream, w.since, w.failing})
		}
		w.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Failure) int { return strings.Compare(a.Stream, b.Stream) })
	return all
}

// writer returns the one writer of a stream, and starts it at the first use.
func (p *Publisher) writer(stream string) (*writer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if w := p.writers[stream]; w != nil {
		return w, nil
	}
	w, err := startWriter(p.nc, stream, p.opts)
	if err != nil {
		return nil, err
	}
	p.writers[stream] = w
	return w, nil
}

// Close stops all writers and waits for them. Entries without an answer are reported with
// ErrClosed. It may be called again.
func (p *Publisher) Close() {
	p.mu.Lock()
	writers := p.writers
	p.closed, p.writers = true, nil
	p.mu.Unlock()
	for _, w := range writers {
		w.close()
	}
}
