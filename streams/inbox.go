package streams

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"roost/schemas"
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

	// Close stops delivery, removes what was acknowledged before the first entry
	// that was not, as far as ctx allows, and waits. What is left is delivered
	// again to the next connection, unless that resumes behind it.
	Close(ctx context.Context)
}

// Sink is the connection that an Inbox delivers to. Its methods are called one
// at a time, in the order in which the device shall see things, and must not
// block.
type Sink interface {
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
	// removeBatch acknowledged entries are removed at once, fewer after
	// removeDelay or at the end of the connection.
	removeBatch = 64
	removeDelay = 5 * time.Second
	// ackTimeout is the default of Options.AckTimeout.
	ackTimeout = 30 * time.Second
)

// directInbox is the [Inbox] on Direct Get and core NATS. It keeps no state on
// the server but the inbox itself.
//
// Every entry with a sequence up to pos was delivered, or was the device's
// already; entries behind pos are in window if they were delivered. A live
// message only ever adds to window. pos moves in one place, apply, by reading
// the stream: so nothing is removed, and no cursor covers anything, that was not
// seen in the stream first.
type directInbox struct {
	// Static after openInbox.
	c       *Conn
	owner   *Consumers
	addr    Address
	session schemas.SessionID
	stream  string
	subject string
	key     cursorKey
	sink    Sink
	sub     *nats.Subscription
	wg      sync.WaitGroup // catchUp and remove

	mu       sync.Mutex         // guards the rest; Sink is called with it held
	running  int                // catchUp and remove; an idle inbox has no context
	ctx      context.Context    // of those that run; ends with Close
	cancel   context.CancelFunc // of ctx
	pos      uint64
	resume   position // what the device said it has; entries of it are not delivered
	window   window
	newest   uint64 // the largest sequence heard of
	held     []heldEntry
	catching bool // catchUp runs: live entries go to held, at most MaxInFlight
	again    bool // catchUp has to read once more: held was full, or a gap
	behind   bool // the stream has more, but the window is full or a read failed
	drained  bool
	removing bool
	removeAt time.Time // when the acknowledged prefix is removed at the latest; zero: there is none
	checkAt  time.Time // when the sweeper looks for entries that nobody told of
	ended    bool
}

// heldEntry is a live entry that waits for the read of the stream to end.
type heldEntry struct {
	seq  uint64
	data []byte
}

var _ Inbox = (*directInbox)(nil)
var _ listener = (*directInbox)(nil)

// Start implements [Inbox].
func (b *directInbox) Start() {
	b.mu.Lock()
	ctx := b.enter()
	b.mu.Unlock()
	defer b.leave()
	b.catchUp(ctx)
}

// work runs do in a goroutine that Close ends and waits for.
func (b *directInbox) work(do func(context.Context)) {
	ctx := b.enter()
	go func() {
		defer b.leave()
		do(ctx)
	}()
}

func (b *directInbox) enter() context.Context {
	b.wg.Add(1)
	if b.running++; b.running == 1 {
		b.ctx, b.cancel = context.WithCancel(context.Background())
	}
	return b.ctx
}

func (b *directInbox) leave() {
	defer b.wg.Done()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running--; b.running == 0 {
		b.cancel()
		b.ctx, b.cancel = nil, nil
	}
}

// Acknowledge implements [Inbox].
func (b *directInbox) Acknowledge(id schemas.MessageID) []schemas.EntryHead {
	b.mu.Lock()
	defer b.mu.Unlock()
	newly := b.window.ack(func(e *windowEntry) bool { return e.head.MessageID == id })
	b.acked(newly)
	return newly
}

// AcknowledgeUpTo implements [Inbox].
func (b *directInbox) AcknowledgeUpTo(c schemas.Cursor) ([]schemas.EntryHead, error) {
	p, err := b.key.decode(c)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	newly := b.window.ack(func(e *windowEntry) bool { return p.has(e.seq) })
	b.acked(newly)
	return newly, nil
}

// acked goes on where acknowledgements make room.
func (b *directInbox) acked(newly []schemas.EntryHead) {
	if len(newly) == 0 || b.ended {
		return
	}
	if b.removeAt.IsZero() {
		b.removeAt = b.owner.now().Add(removeDelay)
	}
	if b.behind && b.window.unacked <= schemas.MaxInFlight/2 {
		b.startCatchUp()
	}
	if len(b.window.ackedPrefix()) >= removeBatch {
		b.startRemove()
	}
}

// entry is a live message: delivered at once where nothing stands before it.
func (b *directInbox) entry(seq uint64, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newest = max(b.newest, seq)
	switch {
	case b.ended || b.known(seq):
	case b.catching && len(b.held) < schemas.MaxInFlight:
		b.held = append(b.held, heldEntry{seq, data})
	case b.catching:
		b.again = true
	case b.behind: // it is in the stream behind others
	case b.window.unacked >= schemas.MaxInFlight:
		b.behind = true
	case b.window.after(b.pos) >= schemas.MaxInFlight: // cursors stay short: read it, and pos moves
		b.startCatchUp()
	default:
		b.deliver(seq, data)
	}
}

// known says whether the device has the entry or was sent it.
func (b *directInbox) known(seq uint64) bool {
	return seq <= b.pos || b.window.has(seq)
}

// deliver sends one entry. An entry that nobody can read counts as
// acknowledged: it can never be delivered, and must not block the others.
func (b *directInbox) deliver(seq uint64, data []byte) {
	head, err := schemas.DecodeEntryHead(data)
	e := windowEntry{seq: seq, head: head, sent: b.owner.now(), acked: err != nil || b.resume.has(seq)}
	b.window.add(e)
	b.newest = max(b.newest, seq)
	if err != nil {
		b.owner.unreadable.Add(1)
		b.c.log.Error("an inbox entry cannot be read and is removed", "subject", b.subject, "sequence", seq, "error", err)
	}
	if e.acked {
		b.acked([]schemas.EntryHead{head})
		return
	}
	b.c.clock.Observe(head.MessageID)
	b.sink.Deliver(data, b.cursor())
}

// cursor is the position of a device that has all that it was sent and all that
// it said it has.
func (b *directInbox) cursor() schemas.Cursor {
	p := position{pos: b.pos, sent: b.window.sentAfter(b.pos)}
	for _, seq := range b.resume.sent {
		if i, ok := slices.BinarySearch(p.sent, seq); seq > b.pos && !ok {
			p.sent = slices.Insert(p.sent, i, seq)
		}
	}
	return b.key.encode(p)
}

func (b *directInbox) frame(frame []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.sink.Frame(frame)
	}
}

// replaced hears of another connection of the device. The newer one stays: it
// says so again to an older one, which may have begun to listen only now.
func (b *directInbox) replaced(by schemas.SessionID) {
	switch {
	case by > b.session:
		b.end(EndReplaced)
	case by < b.session:
		b.c.PublishReplaced(b.addr, b.session)
	}
}

func (b *directInbox) removed() { b.end(EndRemoved) }

func (b *directInbox) end(reason EndReason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.ended = true
		b.sink.End(reason)
	}
}

// gap reads the stream again: live messages may have been lost.
func (b *directInbox) gap() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.startCatchUp()
}

func (b *directInbox) startCatchUp() {
	switch {
	case b.ended:
	case b.catching:
		b.again = true
	default:
		b.catching, b.behind = true, false
		b.work(b.catchUp)
	}
}

// catchUp reads the stream from pos on and delivers what the device was not
// sent, until there is no more or the window is full.
func (b *directInbox) catchUp(ctx context.Context) {
	for {
		b.mu.Lock()
		room := schemas.MaxInFlight - b.window.unacked
		if b.ended || room <= 0 {
			b.stopCatchUp(!b.ended)
			b.mu.Unlock()
			return
		}
		b.again = false
		from, n := b.pos+1, room+b.window.after(b.pos)
		b.mu.Unlock()

		entries, more, err := b.c.readers.next(ctx, b.stream, b.subject, from, n)

		b.mu.Lock()
		if err != nil {
			if ctx.Err() == nil {
				b.c.log.Warn("an inbox could not be read; it is tried again", "subject", b.subject, "error", err)
			}
			b.stopCatchUp(true)
			b.mu.Unlock()
			return
		}
		if full := !b.apply(entries); full || b.ended || !more && b.finish() {
			b.stopCatchUp(full)
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
	}
}

// stopCatchUp ends the goroutine's part; behind says that the stream may hold
// more. Held entries are in the stream, so they may be forgotten.
func (b *directInbox) stopCatchUp(behind bool) {
	b.catching, b.held = false, nil
	b.behind = b.behind || behind
}

// apply takes entries that were read from pos on, in order and without a gap,
// and moves pos behind them. False where the window is full, or the connection
// ended, before the last.
func (b *directInbox) apply(entries []stored) bool {
	for _, e := range entries {
		if !b.known(e.sequence) {
			if b.ended || b.window.unacked >= schemas.MaxInFlight {
				return false
			}
			b.pos = e.sequence // before, so that the entry's own cursor has it
			b.deliver(e.sequence, e.data)
		}
		b.pos = max(b.pos, e.sequence)
	}
	return true
}

// finish ends a read that reached the end of the stream: it delivers the live
// entries that came meanwhile, by sequence. False where it has to read again.
func (b *directInbox) finish() bool {
	sortHeld(b.held)
	for _, h := range b.held {
		if b.known(h.seq) {
			continue
		}
		if b.window.unacked >= schemas.MaxInFlight {
			b.behind = true
			break
		}
		b.deliver(h.seq, h.data)
	}
	b.held = nil
	if b.again {
		return false
	}
	if !b.drained && !b.behind {
		b.drained = true
		b.sink.Drained(b.cursor())
	}
	return true
}

// Close implements [Inbox].
func (b *directInbox) Close(ctx context.Context) {
	b.mu.Lock()
	b.ended = true
	cancel := b.cancel
	b.mu.Unlock()
	b.c.live.unsubscribe(b.sub)
	b.owner.forget(b)
	if cancel != nil {
		cancel()
	}
	b.wg.Wait()
	if err := b.remove(ctx); err != nil && !errors.Is(err, context.Canceled) {
		b.c.log.Warn("acknowledged messages stay in the inbox and will be sent again", "subject", b.subject, "error", err)
	}
}
