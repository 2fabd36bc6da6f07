package inbox

import (
	"context"
	"slices"
	"time"

	"roost/schemas"
	"roost/streams/jsapi"
)

// directKind makes consumers on Direct Get.
type directKind struct{}

// newConsumer implements [kind].
func (directKind) newConsumer() (implementation, *deviceConsumer) {
	b := &directConsumer{reading: true} // until Start has read the backlog
	return b, &b.deviceConsumer
}

// deletes implements [kind]: the stream has no consumers that a purge has to look at.
func (directKind) deletes(int) int { return 1 }

// reconnected implements [kind]: the bus tells each consumer of the gap.
func (directKind) reconnected() {}

func (directKind) close() {}

// directConsumer is the [Consumer] on Direct Get and live messages. It keeps no state on the
// server but the inbox itself.
//
// A live message only adds to window. pos moves in two places: in apply, which reads the
// stream, and in advanceToFrontier, in single-process mode.
//
// Entries come in one of three ways, by the two flags below. If neither is set, a live entry
// is delivered at once. While reading, live entries are held until the read has reached the
// end of the stream. While only lagging, live entries are dropped, because a later read
// finds them: proceed starts it after the window has room, tick after a failure.
type directConsumer struct {
	deviceConsumer

	// Guarded by mu.
	held      []heldEntry
	heldSize  int  // bytes of held, at most maxHeldBytes
	reading   bool // readBacklog runs: live entries go to held, at most MaxInFlight and maxHeldBytes
	readAgain bool // readBacklog has to read once more: held was full, or there was a gap
	lagging   bool // the stream has more, but the window was full or a read failed

	recordRead bool // earlier was read; owned by the goroutine that reads
}

const (
	// maxHeldBytes bounds the live entries that are held during a read.
	maxHeldBytes = 128 << 10
	// readBytes bounds one read of the stream to about the room of a connection: more would
	// be read again.
	readBytes = 128 << 10
)

// heldEntry is a live entry that came during a read of the stream.
type heldEntry struct {
	seq  uint64
	data []byte
}

var (
	_ implementation = (*directConsumer)(nil)
	_ kind           = directKind{}
)

// open implements [source]: Direct Get needs nothing.
func (b *directConsumer) open(context.Context) error { return nil }

// Start implements [Consumer].
func (b *directConsumer) Start() {
	b.mu.Lock()
	b.enter(backlog)
	ctx := b.beginWork()
	b.mu.Unlock()
	defer b.endWork()
	b.readBacklog(ctx)
}

// Entry implements [bus.Listener]. The entry is delivered at once unless earlier ones are
// missing.
func (b *directConsumer) Entry(seq uint64, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newest = max(b.newest, seq)
	switch {
	case b.isEnded() || b.known(seq):
	case b.reading && len(b.held) < schemas.MaxInFlight && b.heldSize+len(data) <= maxHeldBytes:
		b.held = append(b.held, heldEntry{seq, data})
		b.heldSize += len(data)
	case b.reading:
		b.readAgain = true
	case b.lagging: // a read finds it in the stream after others
	case b.full():
		b.lagging = true
		b.wake()
	case b.window.after(b.pos) >= schemas.MaxInFlight: // a read moves pos, so that cursors stay short
		b.startRead()
	default:
		b.advanceToFrontier()
		b.deliver(seq, data, false)
	}
}

// advanceToFrontier moves pos without a read, if every entry was delivered and none is held
// or left in the stream.
func (b *directConsumer) advanceToFrontier() {
	if b.reading || b.lagging {
		return
	}
	if upTo, ok := b.owner.frontiers[b.partition].After(b.pos); ok {
		b.pos = max(b.pos, upTo)
	}
}

// Gap implements [bus.Listener]: it reads the stream again.
func (b *directConsumer) Gap() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.startRead()
}

func (b *directConsumer) startRead() {
	switch {
	case b.isEnded():
	case b.reading:
		b.readAgain = true
	default:
		b.reading, b.lagging = true, false
		b.wake()
		b.work(b.readBacklog)
	}
}

// readBacklog reads the stream after pos and delivers the entries that the device did not
// get, until the end of the stream or a full window.
func (b *directConsumer) readBacklog(ctx context.Context) {
	for {
		b.mu.Lock()
		room := schemas.MaxInFlight - b.window.unacked
		if b.isEnded() || b.full() {
			b.endRead(!b.isEnded())
			b.mu.Unlock()
			return
		}
		b.readAgain = false
		from, n := b.pos+1, room+b.window.after(b.pos)
		b.mu.Unlock()

		entries, more, err := b.owner.opts.API.ReadBytes(ctx, b.stream, b.subject, from, n, readBytes)
		if err == nil && len(entries) > 0 {
			err = b.readRecordOnce(ctx)
		}

		b.mu.Lock()
		if err != nil {
			if ctx.Err() == nil {
				b.owner.opts.Log.Warn("an inbox could not be read; the next sweep retries it", "subject", b.subject, "error", err)
			}
			b.endRead(true)
			b.mu.Unlock()
			return
		}
		if full := !b.apply(entries); full || b.isEnded() || !more && b.deliverHeld() {
			b.endRead(full)
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
	}
}

// readRecordOnce reads, once, the acknowledgements of earlier connections. Only the
// goroutine that reads the backlog calls it.
func (b *directConsumer) readRecordOnce(ctx context.Context) error {
	if b.recordRead {
		return nil
	}
	earlier, err := b.readAckRecord(ctx)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.earlier, b.recordRead = earlier, true
	return nil
}

// endRead ends a read. lagging says that the stream may have more. Held entries are in the
// stream, so they may be dropped.
func (b *directConsumer) endRead(lagging bool) {
	b.reading, b.held, b.heldSize = false, nil, 0
	b.lagging = b.lagging || lagging
}

// apply delivers entries that were read after pos, in order and without a gap, and moves pos
// over them. It returns false if the window was full, or the connection had ended, before
// the last.
func (b *directConsumer) apply(entries []jsapi.Message) bool {
	for _, e := range entries {
		if !b.known(e.Sequence) {
			if b.isEnded() || b.full() {
				return false
			}
			b.pos = e.Sequence // before, so that the entry's own cursor has it
			b.deliver(e.Sequence, e.Data, b.earlier.covers(e))
		}
		b.pos = max(b.pos, e.Sequence)
	}
	return true
}

// deliverHeld ends a read that reached the end of the stream: it delivers the held entries,
// by sequence. It returns false if the stream has to be read again.
func (b *directConsumer) deliverHeld() bool {
	sortHeld(b.held)
	for _, h := range b.held {
		if b.known(h.seq) {
			continue
		}
		if b.full() {
			b.lagging = true
			break
		}
		b.deliver(h.seq, h.data, false)
	}
	b.held, b.heldSize = nil, 0
	if b.readAgain {
		return false
	}
	if !b.lagging {
		b.allDelivered()
	}
	return true
}

// acknowledged implements [source].
func (b *directConsumer) acknowledged(uint64) {}

// proceed implements [source].
func (b *directConsumer) proceed(most int) {
	if b.lagging && b.window.unacked <= most && b.sink.Room() {
		b.startRead()
	}
}

// tick implements [source].
func (b *directConsumer) tick(now time.Time) (next time.Time) {
	b.proceed(schemas.MaxInFlight - 1)
	if b.lagging || b.reading {
		return now
	}
	return b.compareAt
}

// compare implements [source]. Live delivery of an entry does not prove that earlier entries
// were delivered, so everything after pos is read. A read in progress may have passed before
// a new entry was stored, so it reads once more.
func (b *directConsumer) compare(newest uint64) {
	b.advanceToFrontier()
	news := newest > b.newest
	switch {
	case b.lagging: // a later read finds it
	case b.reading && !news:
	case newest > b.pos:
		if news && !b.reading {
			b.owner.late.Add(1)
		}
		b.newest = max(b.newest, newest)
		b.startRead()
	}
}

// verify implements [source]: it reads the entries to be removed once more. The read finds
// entries whose live copy was lost, and delivers them instead. A replica that lags moves pos
// less far.
func (b *directConsumer) verify(ctx context.Context) error {
	b.mu.Lock()
	b.advanceToFrontier()
	prefix, pos := b.window.ackedPrefix(), b.pos
	if len(prefix) == 0 || prefix[len(prefix)-1].seq <= pos {
		b.mu.Unlock()
		return nil
	}
	target := prefix[len(prefix)-1].seq
	unread := b.window.after(pos) - b.window.after(target)
	b.mu.Unlock()

	entries, _, err := b.owner.opts.API.Read(ctx, b.stream, b.subject, pos+1, unread)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.apply(upTo(entries, target)) {
		b.lagging = true
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
