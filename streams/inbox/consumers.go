package inbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"roost/schemas"
	"roost/streams/bus"
	"roost/streams/cursor"
	"roost/streams/subject"
)

// Consumers are the consumers of all devices that are connected to one gateway.
type Consumers struct {
	opts      Options
	kind      kind
	frontiers []Frontier // by partition

	unreadable atomic.Int64
	late       atomic.Int64

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	stopped  chan struct{} // closed by sweeper
	removers []*remover    // by partition
	acks     *ackRecorder

	mu   sync.Mutex        // guards the rest
	keys []int64           // when each INBOX_p was created, for cursors
	all  []*deviceConsumer // in no order; each knows its index
}

// implementation is a kind of [Consumer].
type implementation interface {
	Consumer
	bus.Listener
	source
}

// kind makes consumers. A process has one, chosen by Start.
type kind interface {
	// newConsumer makes a consumer, and returns also the part of it that all kinds share.
	newConsumer() (implementation, *deviceConsumer)
	// deletes is how many deletions cost the server no more than one purge of a stream,
	// with a number of connected devices a stream.
	deletes(devices int) int
	// reconnected is called after the connection for live messages was lost.
	reconnected()
	close()
}

// Start makes the process able to deliver to devices.
func Start(ctx context.Context, opts Options) (*Consumers, error) {
	if opts.RemovalWorkers == 0 {
		opts.RemovalWorkers = DefaultRemovalWorkers
	}
	if opts.AckTimeout == 0 {
		opts.AckTimeout = DefaultAckTimeout
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	cs := &Consumers{opts: opts, kind: directKind{}, stopped: make(chan struct{}),
		keys: make([]int64, opts.Partitions), frontiers: make([]Frontier, opts.Partitions)}
	for p := range opts.Partitions {
		if _, err := cs.created(ctx, p); err != nil {
			return nil, err
		}
		cs.frontiers[p] = unknown{}
		if opts.Frontier != nil {
			cs.frontiers[p] = opts.Frontier(p)
		}
	}
	switch opts.Kind {
	case Direct, "":
	case JetStream:
		pulls, err := startPulls(opts.Live, opts.Log)
		if err != nil {
			return nil, err
		}
		cs.kind = pulls
	default:
		return nil, fmt.Errorf("there is no kind of device consumer %q", opts.Kind)
	}
	cs.ctx, cs.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for p := range opts.Partitions {
		cs.removers = append(cs.removers, startRemover(cs.ctx, cs, subject.InboxStream(p)))
	}
	cs.acks = startAckRecorder(cs.ctx, cs)
	go cs.sweeper()
	return cs, nil
}

// Close stops all goroutines and waits for them. Close the consumers of devices before.
func (cs *Consumers) Close() {
	cs.cancel()
	<-cs.stopped
	for _, r := range cs.removers {
		<-r.stopped
	}
	<-cs.acks.stopped
	cs.kind.close()
}

// Reconnected tells that the connection for live messages was lost. Call it from the
// handler of that connection.
func (cs *Consumers) Reconnected() { cs.kind.reconnected() }

// Unreadable counts the inbox entries that could not be read and were removed.
func (cs *Consumers) Unreadable() int64 { return cs.unreadable.Load() }

// Late counts the entries that the sweeper found without a live message.
func (cs *Consumers) Late() int64 { return cs.late.Load() }

// Open makes the consumer of a device for one session. It subscribes; Start then reads the
// backlog after resume and begins to deliver. A cursor of an earlier stream counts as
// none, so everything is delivered. A malformed cursor is refused with
// cursor.ErrMalformed.
func (cs *Consumers) Open(ctx context.Context, a subject.Address, session schemas.SessionID, resume schemas.Cursor, sink Sink) (Consumer, error) {
	p := subject.Partition(a.User, cs.opts.Partitions)
	cs.mu.Lock()
	created := cs.keys[p]
	cs.mu.Unlock()
	consumer, b := cs.kind.newConsumer()
	b.owner, b.addr, b.session, b.sink, b.source = cs, a, session, sink, consumer
	b.partition, b.stream, b.subject, b.key = p, subject.InboxStream(p), subject.Inbox(p, a), cursor.NewKey(a, created)
	if resume != "" {
		position, err := b.key.Decode(resume)
		if err != nil && !errors.Is(err, cursor.ErrForeign) {
			return nil, err
		}
		b.resume = position
	}
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	leave, err := cs.opts.Bus.Subscribe(a, consumer)
	if err != nil {
		return nil, err
	}
	if err := consumer.open(ctx); err != nil {
		leave()
		b.stop()
		return nil, err
	}
	b.mu.Lock()
	b.unsubscribe = leave
	b.compareAt = cs.opts.Now().Add(cs.untilFirstCompare())
	b.mu.Unlock()
	cs.add(b)
	return consumer, nil
}

// created asks when the inbox stream of a partition was created. It may have been deleted
// and created again while this process ran. Nothing is removed for a cursor before that is
// known.
func (cs *Consumers) created(ctx context.Context, p int) (int64, error) {
	info, err := cs.opts.API.Stream(ctx, subject.InboxStream(p))
	if err != nil {
		return 0, err
	}
	created := info.Created.UnixNano()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.keys[p] = created
	return created, nil
}

// untilFirstCompare is the delay of a consumer's first comparison. In single-process mode
// no replica answered the first read.
func (cs *Consumers) untilFirstCompare() time.Duration {
	if cs.opts.Frontier != nil {
		return untilCompare()
	}
	return CompareFirst
}

func untilCompare() time.Duration { return compareEvery/2 + rand.N(compareEvery) }

func (cs *Consumers) add(b *deviceConsumer) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	b.index = len(cs.all)
	cs.all = append(cs.all, b)
}

// remove may be called again.
func (cs *Consumers) remove(b *deviceConsumer) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if b.index < 0 {
		return
	}
	last := len(cs.all) - 1
	moved := cs.all[last]
	cs.all[b.index], moved.index = moved, b.index
	cs.all[last] = nil
	cs.all, b.index = cs.all[:last], -1
}

// notify fills a channel of one, unless it is full.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
