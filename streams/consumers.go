package streams

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"roost/schemas"
	"roost/streams/cursor"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Consumers are the inboxes of all devices connected to one gateway, and the
// sweeper that looks after them: it removes what was acknowledged a while ago,
// ends connections that do not acknowledge, tries failed reads again, and looks
// for entries whose live message was lost.
type Consumers struct {
	c   *Conn
	now func() time.Time

	unreadable atomic.Int64
	late       atomic.Int64

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	stopped  chan struct{} // closed by sweep
	removers []*remover    // by partition
	acks     *acknowledged
	pulls    *pulls // nil where the kind of consumer is direct

	mu      sync.Mutex     // guards the rest
	keys    []int64        // when each INBOX_p was created, for cursors
	inboxes []*deviceInbox // in no order; each knows its index
}

const (
	sweepEvery = time.Second
	// checkEvery is how often each inbox is compared with the stream, jittered.
	checkEvery = 60 * time.Second
	// checkFirst is the delay of the first comparison: the replica that answered
	// the first read may have lagged.
	checkFirst = 2 * time.Second
)

// StartConsumers makes the process able to hold devices, by the kind of consumer
// that Options.DeviceConsumer names.
func (c *Conn) StartConsumers(ctx context.Context) (*Consumers, error) {
	return c.startConsumers(ctx, time.Now)
}

func (c *Conn) startConsumers(ctx context.Context, now func() time.Time) (*Consumers, error) {
	cs := &Consumers{c: c, now: now, stopped: make(chan struct{}), keys: make([]int64, c.partitions)}
	for p := range c.partitions {
		if _, err := cs.created(ctx, p); err != nil {
			return nil, err
		}
	}
	if err := c.sendLog.Start(ctx); err != nil {
		return nil, err
	}
	if c.opts.DeviceConsumer == JetStreamConsumer {
		pulls, err := startPulls(c.lives, c.log)
		if err != nil {
			return nil, err
		}
		c.losses.onReconnect("live", pulls.reconnected)
		cs.pulls = pulls
	}
	cs.ctx, cs.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for p := range c.partitions {
		cs.removers = append(cs.removers, startRemover(cs.ctx, cs, subject.InboxStream(p)))
	}
	cs.acks = startAcknowledged(cs.ctx, c)
	go cs.sweep()
	return cs, nil
}

// Close stops the sweeper and the removers. Inboxes are closed by those who opened them, before.
func (cs *Consumers) Close() {
	cs.cancel()
	<-cs.stopped
	for _, r := range cs.removers {
		<-r.stopped
	}
	<-cs.acks.stopped
	if cs.pulls != nil {
		cs.pulls.close()
	}
}

// Unreadable counts the inbox entries that could not be read and were removed.
func (cs *Consumers) Unreadable() int64 { return cs.unreadable.Load() }

// Late counts the entries that the sweeper found without a live message.
func (cs *Consumers) Late() int64 { return cs.late.Load() }

// Open makes the consumer of a device for one session. It subscribes; Start then
// reads the backlog behind resume and begins to deliver. A cursor of another life
// of the inbox counts as none, so everything is delivered.
func (cs *Consumers) Open(ctx context.Context, a subject.Address, session schemas.SessionID, resume schemas.Cursor, sink Sink) (Inbox, error) {
	p := cs.c.partition(a.User)
	cs.mu.Lock()
	created := cs.keys[p]
	cs.mu.Unlock()
	kind, b := cs.newInbox()
	b.c, b.owner, b.addr, b.session, b.sink, b.source = cs.c, cs, a, session, sink, kind
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
	leave, err := cs.c.bus.Subscribe(a, kind)
	if err != nil {
		return nil, err
	}
	if err := kind.open(ctx); err != nil {
		leave()
		b.stop()
		return nil, err
	}
	b.mu.Lock()
	b.leaveLive = leave
	b.checkAt = cs.now().Add(cs.firstCheck())
	b.mu.Unlock()
	cs.remember(b)
	return kind, nil
}

// firstCheck is the delay of an inbox's first comparison. Where the process is
// alone it read the stream itself, and no replica.
func (cs *Consumers) firstCheck() time.Duration {
	if cs.c.opts.SingleProcess {
		return nextCheck()
	}
	return checkFirst
}

func nextCheck() time.Duration { return checkEvery/2 + rand.N(checkEvery) }

// newInbox is one of the configured kind, and the part of it that all kinds share.
func (cs *Consumers) newInbox() (deviceConsumer, *deviceInbox) {
	if cs.pulls != nil {
		b := &jetstreamInbox{pulls: cs.pulls, acks: make(map[uint64]string)}
		return b, &b.deviceInbox
	}
	b := &directInbox{catching: true} // until Start has read the backlog
	return b, &b.deviceInbox
}

func (cs *Consumers) remember(b *deviceInbox) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	b.index = len(cs.inboxes)
	cs.inboxes = append(cs.inboxes, b)
}

// forget may be called again.
func (cs *Consumers) forget(b *deviceInbox) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if b.index < 0 {
		return
	}
	last := len(cs.inboxes) - 1
	moved := cs.inboxes[last]
	cs.inboxes[b.index], moved.index = moved, b.index
	cs.inboxes[last] = nil
	cs.inboxes, b.index = cs.inboxes[:last], -1
}

// sweep runs until Close.
func (cs *Consumers) sweep() {
	defer close(cs.stopped)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			cs.check(cs.ctx, cs.tend())
		case <-cs.ctx.Done():
			return
		}
	}
}

// tend does what is due at each inbox, and returns those to compare with the
// stream, by partition.
func (cs *Consumers) tend() map[int][]*deviceInbox {
	now, due := cs.now(), make(map[int][]*deviceInbox)
	var awake []*deviceInbox
	cs.mu.Lock()
	for _, b := range cs.inboxes { // most are quiet, and cost no lock
		if b.quietUntil.Load() <= now.UnixNano() {
			awake = append(awake, b)
		}
	}
	cs.mu.Unlock()
	for _, b := range awake {
		if b.tend(now) {
			p := b.partition
			due[p] = append(due[p], b)
		}
	}
	return due
}

// tend does what is due; true where the inbox wants to be compared.
func (b *deviceInbox) tend(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return false
	}
	if sent, ok := b.window.oldestUnacked(); ok && now.Sub(sent) > b.c.opts.AckTimeout {
		b.ended = true
		b.sink.End(EndSlow)
		return false
	}
	next := b.source.tick(now)
	if !b.removeAt.IsZero() && !now.Before(b.removeAt) {
		b.requestRemoval()
	}
	if now.Before(b.checkAt) {
		if len(b.window.entries) == 0 && b.removeAt.IsZero() && now.Before(next) {
			b.quietUntil.Store(min(b.checkAt.UnixNano(), next.UnixNano()))
		}
		return false
	}
	b.checkAt = now.Add(nextCheck())
	return true
}

// check compares the newest entry of each inbox with what was read of the stream.
func (cs *Consumers) check(ctx context.Context, due map[int][]*deviceInbox) {
	for p, inboxes := range due {
		for len(inboxes) > 0 {
			n := min(len(inboxes), jsapi.MaxSubjects)
			if err := cs.checkSome(ctx, p, inboxes[:n]); err != nil {
				if ctx.Err() == nil {
					cs.c.log.Warn("inboxes could not be compared with the stream; they are at the next turn", "partition", p, "error", err)
				}
				return
			}
			inboxes = inboxes[n:]
		}
	}
}

func (cs *Consumers) checkSome(ctx context.Context, p int, inboxes []*deviceInbox) error {
	subjects := make([]string, len(inboxes))
	bySubject := make(map[string][]*deviceInbox, len(inboxes))
	for i, b := range inboxes {
		subjects[i] = b.subject
		bySubject[b.subject] = append(bySubject[b.subject], b)
	}
	newest, err := cs.c.api.Lasts(ctx, subject.InboxStream(p), subjects)
	if err != nil {
		return err
	}
	for _, m := range newest {
		for _, b := range bySubject[m.Subject] {
			b.compare(m.Sequence)
		}
	}
	return nil
}

// compare tells the source what the newest entry of its inbox in the stream is.
func (b *deviceInbox) compare(newest uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.source.holds(newest)
}
