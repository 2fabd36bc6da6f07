package inbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"roost/schemas"
	"roost/streams/cursor"
	"roost/streams/subject"
)

const (
	// verifyBatch acknowledged entries are looked up in the stream, so that pos moves on
	// and cursors stay short.
	verifyBatch = 64
	// RemoveBatch acknowledged entries are removed at once. Fewer are removed after half of
	// RemoveDelay to all of it, at random, so that devices with the same pace take turns,
	// or at the end of the connection.
	RemoveBatch = 256
	RemoveDelay = 5 * time.Second
)

// deviceConsumer is what the kinds of [Consumer] have in common: the entries that were
// delivered and which of them were acknowledged, cursors, and removal. A source brings the
// entries.
//
// Every entry with a sequence up to pos was delivered on this connection, or the device had
// it before. Delivered entries after pos are in window. Only entries up to pos are removed
// and covered by the position of a cursor. pos moves only over entries that were seen in the
// stream, or up to the delivery frontier.
type deviceConsumer struct {
	// Static after Open.
	owner       *Consumers
	addr        subject.Address
	session     schemas.SessionID
	partition   int
	stream      string
	subject     string
	key         cursor.Key
	sink        Sink
	source      source
	unsubscribe func() // ends the live messages

	index      int          // in Consumers.all, guarded by its lock; -1 after its removal
	quietUntil atomic.Int64 // ns since 1970: nothing is due before; written with mu held

	lifetime

	// Guarded by mu.
	pos      uint64
	resume   cursor.Position // the device said that it has these entries; they are not delivered
	window   window
	newest   uint64      // the largest known sequence of the inbox
	earlier  ackRecord   // acknowledged on earlier connections; these entries are not delivered
	turn     *removeTurn // at the remover; nil if there is none
	dirty    bool        // it is in ackRecorder.dirty
	counted  int         // its part of Options.Unremoved
	removeAt time.Time   // when the acknowledged prefix is removed at the latest; zero: there is none

	compareAt time.Time // when the sweeper looks for entries whose live copy was lost
}

// endWith asks the connection to close, once. mu is held.
func (b *deviceConsumer) endWith(reason EndReason) {
	if b.enter(ended) {
		b.sink.End(reason)
	}
}

// source brings the entries of an inbox. It moves pos and calls deliver. Its methods are
// called with mu held, except open and verify.
type source interface {
	// open makes on the server what Start needs.
	open(ctx context.Context) error
	// acknowledged is called once for each entry that the device acknowledged.
	acknowledged(seq uint64)
	// proceed resumes after a full window, if at most most entries are unacknowledged now.
	proceed(most int)
	// tick is called each second, or from next on while the window is empty.
	tick(now time.Time) (next time.Time)
	// compare gets the sequence of the newest entry of the inbox in the stream. The source
	// delivers the entries up to there that the device did not get.
	compare(newest uint64)
	// verify moves pos over the acknowledged prefix, as far as all of it was seen in the
	// stream.
	verify(ctx context.Context) error
}

// Acknowledge implements [Consumer].
func (b *deviceConsumer) Acknowledge(id schemas.MessageID) []schemas.EntryHead {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acknowledge(func(e *windowEntry) bool { return e.head.MessageID == id })
}

// AcknowledgeUpTo implements [Consumer].
func (b *deviceConsumer) AcknowledgeUpTo(c schemas.Cursor) ([]schemas.EntryHead, error) {
	p, err := b.key.Decode(c)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acknowledge(func(e *windowEntry) bool { return p.Has(e.seq) }), nil
}

// Find implements [Consumer].
func (b *deviceConsumer) Find(id schemas.MessageID) (schemas.EntryHead, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.window.message(id)
}

func (b *deviceConsumer) acknowledge(match func(*windowEntry) bool) []schemas.EntryHead {
	newly := b.window.ack(func(e *windowEntry) bool {
		if !match(e) {
			return false
		}
		b.source.acknowledged(e.seq)
		return true
	})
	b.acked(len(newly))
	return newly
}

// Continue implements [Consumer].
func (b *deviceConsumer) Continue() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.isEnded() {
		b.source.proceed(schemas.MaxInFlight - 1)
	}
}

// full says whether no other entry may be delivered now: the window is full, or the
// connection has no room.
func (b *deviceConsumer) full() bool {
	return b.window.unacked >= schemas.MaxInFlight || !b.sink.Room()
}

// acked has n more acknowledgements recorded, and asks for removal or for more entries.
func (b *deviceConsumer) acked(n int) {
	if n == 0 {
		return
	}
	b.countUnremoved()
	b.owner.acks.add(b)
	if b.isEnded() {
		return
	}
	if b.removeAt.IsZero() {
		b.removeLater()
	}
	b.source.proceed(schemas.MaxInFlight / 2)
	if len(b.window.ackedPrefix()) >= RemoveBatch || b.window.ackedAfter(b.pos) >= verifyBatch {
		b.requestRemoval()
	}
}

// removeLater has the sweeper remove the acknowledged entries.
func (b *deviceConsumer) removeLater() {
	b.removeAt = b.owner.opts.Now().Add(RemoveDelay/2 + rand.N(RemoveDelay/2))
}

// known says whether the device has the entry or got it on this connection.
func (b *deviceConsumer) known(seq uint64) bool {
	return seq <= b.pos || b.window.has(seq)
}

// deliver delivers one entry, and says whether it needs an acknowledgement. An unreadable
// entry counts as acknowledged: it can never be delivered, and must not block the others.
// So does an expired entry that the stream has not removed yet. No sender gets a receipt
// for it.
//
// earlier says that the device acknowledged the entry on an earlier connection.
func (b *deviceConsumer) deliver(seq uint64, data []byte, earlier bool) (unacked bool) {
	head, err := schemas.DecodeEntryHead(data)
	expired := head.ExpiresAt != 0 && head.ExpiresAt <= schemas.TimestampOf(b.owner.opts.Now())
	if expired {
		head = schemas.EntryHead{}
	}
	e := windowEntry{seq: seq, head: head, sent: b.owner.opts.Now(), acked: err != nil || expired || earlier || b.resume.Has(seq)}
	b.window.add(e)
	b.wake()
	b.newest = max(b.newest, seq)
	if err != nil {
		b.owner.unreadable.Add(1)
		b.owner.opts.Log.Error("an inbox entry cannot be read and is removed", "subject", b.subject, "sequence", seq, "error", err)
	}
	if e.acked {
		b.acked(1)
		return false
	}
	b.owner.opts.Observe(head.MessageID)
	b.sink.Deliver(data, b.cursor())
	return true
}

// wake has the sweeper look at the consumer each second again. Each change after which
// something may be due calls it with mu held: an entry in the window, a read, a new
// consumer in JetStream.
func (b *deviceConsumer) wake() { b.quietUntil.Store(0) }

// allDelivered tells the device, the first time, that the whole backlog was delivered.
func (b *deviceConsumer) allDelivered() {
	if b.enter(live) {
		b.sink.Drained(b.cursor())
	}
}

// cursor is the position of a device that has all entries it got and all that it said it
// has.
func (b *deviceConsumer) cursor() schemas.Cursor {
	p := cursor.Position{UpTo: b.pos, Sent: b.window.sentAfter(b.pos)}
	for _, seq := range b.resume.Sent {
		if i, ok := slices.BinarySearch(p.Sent, seq); seq > b.pos && !ok {
			p.Sent = slices.Insert(p.Sent, i, seq)
		}
	}
	return b.key.Encode(p)
}

// Frame implements bus.Listener.
func (b *deviceConsumer) Frame(frame []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.isEnded() {
		b.sink.Frame(frame)
	}
}

// Replaced implements bus.Listener. The newer connection of a device stays. It publishes
// itself again to an older one, which may have subscribed only now.
func (b *deviceConsumer) Replaced(by schemas.SessionID) {
	switch {
	case by > b.session:
		b.end(EndReplaced)
	case by < b.session:
		b.owner.opts.Bus.PublishReplaced(b.addr, b.session)
	}
}

// Removed implements bus.Listener.
func (b *deviceConsumer) Removed() { b.end(EndRemoved) }

func (b *deviceConsumer) end(reason EndReason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endWith(reason)
}

// Close implements [Consumer].
func (b *deviceConsumer) Close(ctx context.Context) {
	b.unsubscribe()
	b.owner.remove(b)
	b.stop()
	if err := b.remove(ctx); err != nil && !errors.Is(err, context.Canceled) {
		b.owner.opts.Log.Warn("acknowledged entries stay in the inbox; the record of acknowledgements has them", "subject", b.subject, "error", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.enter(closed)
	b.countUnremoved()
}
