package streams

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"roost/schemas"
	"roost/streams/bus"
	"roost/streams/cursor"
	"roost/streams/subject"
)

// Inbox is one device's consumer: it delivers what INBOX_p holds for the device
// to a [Sink], at least once and in inbox order, at most schemas.MaxInFlight
// unacknowledged, and removes from the stream what the device acknowledged.
// Methods may be called concurrently.
type Inbox interface {
	// Start begins delivery: first the backlog, then what comes. It may return
	// only after the first read of the backlog. Call it once.
	Start()

	// Acknowledge says that the device has stored one message. It returns the
	// entry if this is the first that is heard of it; an id that is not in
	// flight is none.
	Acknowledge(id schemas.MessageID) []schemas.EntryHead

	// AcknowledgeUpTo says that the device has stored all that it was sent up
	// to a cursor. It returns the entries that this is the first news of, or an
	// error for a cursor that is not of this inbox.
	AcknowledgeUpTo(c schemas.Cursor) ([]schemas.EntryHead, error)

	// Find is a message that the device was sent and that has not been removed
	// yet, acknowledged or not.
	Find(id schemas.MessageID) (schemas.EntryHead, bool)

	// GoOn delivers on after the Sink had no room and has some now. It does not block.
	GoOn()

	// Close stops delivery, removes what was acknowledged before the first entry
	// that was not, as far as ctx allows, and waits. What is left is delivered
	// again to the next connection, unless that resumes behind it.
	Close(ctx context.Context)
}

// Sink is the connection that an Inbox delivers to. Its methods are called one
// at a time, in the order in which the device shall see things, and must not
// block.
type Sink interface {
	// Room says whether Deliver may be called: a connection that does not read must not
	// fill memory. After false the Sink calls GoOn of the Inbox once there is room.
	Room() bool
	// Deliver hands over one inbox entry and the position behind it.
	Deliver(entry []byte, c schemas.Cursor)
	// Drained says, once, that all that waited has been delivered.
	Drained(c schemas.Cursor)
	// Frame hands over a server frame that is no inbox entry.
	Frame(frame []byte)
	// End asks the connection to close; the Inbox delivers nothing more.
	End(reason EndReason)
}

// EndReason is why an Inbox ended its connection.
type EndReason int

// Values of EndReason.
const (
	EndReplaced EndReason = iota + 1 // by a newer connection of the device
	EndRemoved                       // the device is no more
	EndSlow                          // a message stayed unacknowledged for too long
)

const (
	// verifyBatch acknowledged entries are looked up in the stream, so that pos
	// moves on and cursors stay short.
	verifyBatch = 64
	// removeBatch acknowledged entries are removed at once, fewer after half of
	// removeDelay to all of it, at random so that devices which are written to at
	// one pace take turns, or at the end of the connection.
	removeBatch = 256
	removeDelay = 5 * time.Second
	// ackTimeout is the default of Options.AckTimeout.
	ackTimeout = 30 * time.Second
)

// deviceInbox is what the kinds of [Inbox] have in common: what the device was
// sent and has, its cursors, and the removal of what it acknowledged. Where the
// entries come from is its source's.
//
// Every entry with a sequence up to pos was delivered, or was the device's
// already; entries behind pos are in window if they were delivered. Nothing is
// removed, and no cursor's position covers anything, that pos has not passed, and
// pos passes what was seen in the stream, or is before the delivery frontier.
type deviceInbox struct {
	// Static after Open.
	c         *Conn
	owner     *Consumers
	addr      subject.Address
	session   schemas.SessionID
	partition int
	stream    string
	subject   string
	key       cursor.Key
	sink      Sink
	source    source
	leaveLive func()         // ends the live messages
	wg        sync.WaitGroup // reads

	index      int          // in Consumers.inboxes, guarded by its lock; -1 once forgotten
	quietUntil atomic.Int64 // ns since 1970: nothing is due before; written with mu held

	mu       sync.Mutex         // guards the rest, and the source's; Sink is called with it held
	running  int                // reads; an idle inbox has no context
	ctx      context.Context    // of those that run; ends with Close
	cancel   context.CancelFunc // of ctx
	pos      uint64
	resume   cursor.Position // what the device said it has; entries of it are not delivered
	window   window
	newest   uint64 // the largest sequence heard of
	drained  bool
	had      ackedUntil  // what it acknowledged on earlier connections; entries of it are not delivered
	turn     *removeTurn // at the remover; nil if there is none
	dirty    bool        // it is in acknowledged.dirty
	counted  int         // its part of backPressure.unremoved
	closed   bool        // Close is over: its entries are not counted
	removeAt time.Time   // when the acknowledged prefix is removed at the latest; zero: there is none
	checkAt  time.Time   // when the sweeper looks for entries that nobody told of
	ended    bool
}

// source is where the entries of an inbox come from. It moves pos and calls
// deliver. Its methods are called with mu held, except open and verify.
type source interface {
	// open makes on the server what Start needs.
	open(ctx context.Context) error
	// took hears of each entry that the device acknowledged, once.
	took(seq uint64)
	// goOn reads on where the window was full, if not more than most entries are
	// unacknowledged now.
	goOn(most int)
	// tick is called each second, or where the window is empty from next on.
	tick(now time.Time) (next time.Time)
	// holds hears which entry of the inbox in the stream is the newest. The source
	// delivers what the device was not sent up to there.
	holds(newest uint64)
	// verify moves pos over the acknowledged prefix, as far as all of it was seen
	// in the stream.
	verify(ctx context.Context) error
}

// deviceConsumer is a kind of Inbox.
type deviceConsumer interface {
	Inbox
	bus.Listener
	source
}

// work runs do in a goroutine that Close ends and waits for. The caller has seen
// that the inbox has not ended.
func (b *deviceInbox) work(do func(context.Context)) {
	ctx := b.enter()
	go func() {
		defer b.leave()
		do(ctx)
	}()
}

func (b *deviceInbox) enter() context.Context {
	b.wg.Add(1)
	if b.running++; b.running == 1 {
		b.ctx, b.cancel = context.WithCancel(context.Background())
	}
	return b.ctx
}

func (b *deviceInbox) leave() {
	defer b.wg.Done()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running--; b.running == 0 {
		b.cancel()
		b.ctx, b.cancel = nil, nil
	}
}

// Acknowledge implements [Inbox].
func (b *deviceInbox) Acknowledge(id schemas.MessageID) []schemas.EntryHead {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acknowledge(func(e *windowEntry) bool { return e.head.MessageID == id })
}

// AcknowledgeUpTo implements [Inbox].
func (b *deviceInbox) AcknowledgeUpTo(c schemas.Cursor) ([]schemas.EntryHead, error) {
	p, err := b.key.Decode(c)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acknowledge(func(e *windowEntry) bool { return p.Has(e.seq) }), nil
}

// Find implements [Inbox].
func (b *deviceInbox) Find(id schemas.MessageID) (schemas.EntryHead, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.window.message(id)
}

func (b *deviceInbox) acknowledge(match func(*windowEntry) bool) []schemas.EntryHead {
	newly := b.window.ack(func(e *windowEntry) bool {
		if !match(e) {
			return false
		}
		b.source.took(e.seq)
		return true
	})
	b.acked(len(newly))
	return newly
}

// GoOn implements [Inbox].
func (b *deviceInbox) GoOn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.source.goOn(schemas.MaxInFlight - 1)
	}
}

// full says whether the device may not be sent another entry now: the window is full, or
// the connection has no room.
func (b *deviceInbox) full() bool {
	return b.window.unacked >= schemas.MaxInFlight || !b.sink.Room()
}

// acked goes on where n more acknowledgements make room.
func (b *deviceInbox) acked(n int) {
	if n == 0 {
		return
	}
	b.count()
	b.owner.acks.add(b)
	if b.ended {
		return
	}
	if b.removeAt.IsZero() {
		b.removeLater()
	}
	b.source.goOn(schemas.MaxInFlight / 2)
	if len(b.window.ackedPrefix()) >= removeBatch || b.window.ackedAfter(b.pos) >= verifyBatch {
		b.requestRemoval()
	}
}

// removeLater has the sweeper remove what was acknowledged.
func (b *deviceInbox) removeLater() {
	b.removeAt = b.owner.now().Add(removeDelay/2 + rand.N(removeDelay/2))
}

// known says whether the device has the entry or was sent it.
func (b *deviceInbox) known(seq uint64) bool {
	return seq <= b.pos || b.window.has(seq)
}

// deliver sends one entry; false where it needs no acknowledgement. An entry that
// nobody can read counts as acknowledged: it can never be delivered, and must not
// block the others. So does one that has disappeared and that the stream has not
// removed yet; nobody is told that it was delivered.
//
// had says that the device acknowledged the entry on an earlier connection.
func (b *deviceInbox) deliver(seq uint64, data []byte, had bool) (waits bool) {
	head, err := schemas.DecodeEntryHead(data)
	gone := head.ExpiresAt != 0 && head.ExpiresAt <= schemas.TimestampOf(b.owner.now())
	if gone {
		head = schemas.EntryHead{}
	}
	e := windowEntry{seq: seq, head: head, sent: b.owner.now(), acked: err != nil || gone || had || b.resume.Has(seq)}
	b.window.add(e)
	b.wake()
	b.newest = max(b.newest, seq)
	if err != nil {
		b.owner.unreadable.Add(1)
		b.c.log.Error("an inbox entry cannot be read and is removed", "subject", b.subject, "sequence", seq, "error", err)
	}
	if e.acked {
		b.acked(1)
		return false
	}
	b.c.clock.Observe(head.MessageID)
	b.sink.Deliver(data, b.cursor())
	return true
}

// wake has the sweeper look at the inbox each second again. Whatever may become
// due calls it with mu held: an entry in the window, a read, a new consumer.
func (b *deviceInbox) wake() { b.quietUntil.Store(0) }

// allDelivered tells the device, the first time, that nothing waits any more.
func (b *deviceInbox) allDelivered() {
	if !b.drained && !b.ended {
		b.drained = true
		b.sink.Drained(b.cursor())
	}
}

// cursor is the position of a device that has all that it was sent and all that
// it said it has.
func (b *deviceInbox) cursor() schemas.Cursor {
	p := cursor.Position{UpTo: b.pos, Sent: b.window.sentAfter(b.pos)}
	for _, seq := range b.resume.Sent {
		if i, ok := slices.BinarySearch(p.Sent, seq); seq > b.pos && !ok {
			p.Sent = slices.Insert(p.Sent, i, seq)
		}
	}
	return b.key.Encode(p)
}

func (b *deviceInbox) Frame(frame []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.sink.Frame(frame)
	}
}

// Replaced hears of another connection of the device. The newer one stays: it
// says so again to an older one, which may have begun to listen only now.
func (b *deviceInbox) Replaced(by schemas.SessionID) {
	switch {
	case by > b.session:
		b.end(EndReplaced)
	case by < b.session:
		b.c.Bus().PublishReplaced(b.addr, b.session)
	}
}

func (b *deviceInbox) Removed() { b.end(EndRemoved) }

func (b *deviceInbox) end(reason EndReason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.ended = true
		b.sink.End(reason)
	}
}

// Close implements [Inbox].
func (b *deviceInbox) Close(ctx context.Context) {
	b.leaveLive()
	b.owner.forget(b)
	b.stop()
	if err := b.remove(ctx); err != nil && !errors.Is(err, context.Canceled) {
		b.c.log.Warn("acknowledged entries stay in the inbox; the record of acknowledgements has them", "subject", b.subject, "error", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.count()
}

// stop ends what runs, and waits for it.
func (b *deviceInbox) stop() {
	b.mu.Lock()
	b.ended = true
	if b.cancel != nil {
		b.cancel()
	}
	b.mu.Unlock()
	b.wg.Wait()
}
