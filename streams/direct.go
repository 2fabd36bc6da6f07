package streams

import (
	"context"
	"slices"
	"time"

	"roost/schemas"
	"roost/streams/jsapi"
)

// directInbox is the [Inbox] on Direct Get and core NATS. It keeps no state on
// the server but the inbox itself.
//
// A live message only ever adds to window. pos moves in two places: in apply, by
// reading the stream, and in advance, where the process knows what it would read.
type directInbox struct {
	deviceInbox

	// Guarded by mu.
	held     []heldEntry
	heldSize int  // bytes of held, at most maxHeldBytes
	catching bool // catchUp runs: live entries go to held, at most MaxInFlight and maxHeldBytes
	again    bool // catchUp has to read once more: held was full, or a gap
	behind   bool // the stream has more, but the window is full or a read failed

	recalled bool // had is read; owned by the goroutine that catches up
}

const (
	// maxHeldBytes bounds the live entries that wait for a read.
	maxHeldBytes = 128 << 10
	// catchUpBytes bounds one read of the stream to about what a connection has room for:
	// what it has no room for is read again.
	catchUpBytes = 128 << 10
)

// heldEntry is a live entry that waits for the read of the stream to end.
type heldEntry struct {
	seq  uint64
	data []byte
}

var _ deviceConsumer = (*directInbox)(nil)

// open implements [source]: Direct Get needs nothing.
func (b *directInbox) open(context.Context) error { return nil }

// Start implements [Inbox].
func (b *directInbox) Start() {
	b.mu.Lock()
	ctx := b.enter()
	b.mu.Unlock()
	defer b.leave()
	b.catchUp(ctx)
}

// Entry is a live message: delivered at once where nothing stands before it.
func (b *directInbox) Entry(seq uint64, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newest = max(b.newest, seq)
	switch {
	case b.ended || b.known(seq):
	case b.catching && len(b.held) < schemas.MaxInFlight && b.heldSize+len(data) <= maxHeldBytes:
		b.held = append(b.held, heldEntry{seq, data})
		b.heldSize += len(data)
	case b.catching:
		b.again = true
	case b.behind: // it is in the stream behind others
	case b.full():
		b.behind = true
		b.wake()
	case b.window.after(b.pos) >= schemas.MaxInFlight: // cursors stay short: read it, and pos moves
		b.startCatchUp()
	default:
		b.advance()
		b.deliver(seq, data, false)
	}
}

// advance moves pos without a read, where the process knows that every entry was
// shown and none of them still waits to be delivered.
func (b *directInbox) advance() {
	if b.c.frontiers == nil || b.catching || b.behind {
		return
	}
	if upTo, ok := b.c.frontiers(b.partition).After(b.pos); ok {
		b.pos = max(b.pos, upTo)
	}
}

// Gap reads the stream again: live messages may have been lost.
func (b *directInbox) Gap() {
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
		b.wake()
		b.work(b.catchUp)
	}
}

// catchUp reads the stream from pos on and delivers what the device was not
// sent, until there is no more or the window is full.
func (b *directInbox) catchUp(ctx context.Context) {
	for {
		b.mu.Lock()
		room := schemas.MaxInFlight - b.window.unacked
		if b.ended || b.full() {
			b.stopCatchUp(!b.ended)
			b.mu.Unlock()
			return
		}
		b.again = false
		from, n := b.pos+1, room+b.window.after(b.pos)
		b.mu.Unlock()

		entries, more, err := b.c.api.ReadBytes(ctx, b.stream, b.subject, from, n, catchUpBytes)
		if err == nil && len(entries) > 0 {
			err = b.recall(ctx)
		}

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

// recall reads, once, what the device acknowledged on earlier connections. Only the one
// goroutine that catches up calls it.
func (b *directInbox) recall(ctx context.Context) error {
	if b.recalled {
		return nil
	}
	had, err := b.readAcked(ctx)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.had, b.recalled = had, true
	return nil
}

// stopCatchUp ends the goroutine's part; behind says that the stream may hold
// more. Held entries are in the stream, so they may be forgotten.
func (b *directInbox) stopCatchUp(behind bool) {
	b.catching, b.held, b.heldSize = false, nil, 0
	b.behind = b.behind || behind
}

// apply takes entries that were read from pos on, in order and without a gap,
// and moves pos behind them. False where the window is full, or the connection
// ended, before the last.
func (b *directInbox) apply(entries []jsapi.Message) bool {
	for _, e := range entries {
		if !b.known(e.Sequence) {
			if b.ended || b.full() {
				return false
			}
			b.pos = e.Sequence // before, so that the entry's own cursor has it
			b.deliver(e.Sequence, e.Data, b.had.covers(e))
		}
		b.pos = max(b.pos, e.Sequence)
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
		if b.full() {
			b.behind = true
			break
		}
		b.deliver(h.seq, h.data, false)
	}
	b.held, b.heldSize = nil, 0
	if b.again {
		return false
	}
	if !b.behind {
		b.allDelivered()
	}
	return true
}

// took implements [source].
func (b *directInbox) took(uint64) {}

// goOn implements [source].
func (b *directInbox) goOn(most int) {
	if b.behind && b.window.unacked <= most && b.sink.Room() {
		b.startCatchUp()
	}
}

// tick implements [source].
func (b *directInbox) tick(now time.Time) (next time.Time) {
	b.goOn(schemas.MaxInFlight - 1)
	if b.behind || b.catching {
		return now
	}
	return b.checkAt
}

// holds implements [source]. What the device was sent live says nothing of entries
// before it, so whatever pos has not passed is read. A read under way may have passed
// before an entry that is news, so it has to read once more.
func (b *directInbox) holds(newest uint64) {
	b.advance()
	news := newest > b.newest
	switch {
	case b.behind: // it reads on by itself
	case b.catching && !news:
	case newest > b.pos:
		if news && !b.catching {
			b.owner.late.Add(1)
		}
		b.newest = max(b.newest, newest)
		b.startCatchUp()
	}
}

// verify implements [source]: what is about to go is read once more. An entry that
// nobody told of, because its live message was lost, shows itself there and is
// delivered instead. A replica that lags moves pos less far.
func (b *directInbox) verify(ctx context.Context) error {
	b.mu.Lock()
	b.advance()
	prefix, pos := b.window.ackedPrefix(), b.pos
	if len(prefix) == 0 || prefix[len(prefix)-1].seq <= pos {
		b.mu.Unlock()
		return nil
	}
	target := prefix[len(prefix)-1].seq
	unread := b.window.after(pos) - b.window.after(target)
	b.mu.Unlock()

	entries, _, err := b.c.api.Read(ctx, b.stream, b.subject, pos+1, unread)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.apply(upTo(entries, target)) {
		b.behind = true
	}
	return nil
}

func sortHeld(held []heldEntry) {
	slices.SortFunc(held, func(a, b heldEntry) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
}
