package client

import (
	"slices"

	"roost/schemas"
)

// Bounds of an inbox.
const (
	seenLimit     = 1024 // acknowledged messages by which repeats are known
	coalesceAbove = 16   // more acknowledgements than this at once become one ack frame
)

// delivery is one entry of the inbox that the application was shown, or is about
// to be.
type delivery struct {
	seen   Seen // of a change of a group or chat the message id alone
	cursor schemas.Cursor

	repeats []schemas.MessageID // ids under which it came again before it was acknowledged
	acked   bool                // by the application
	passed  bool                // the inbox's cursor is at or behind it
}

// seenKey finds a delivery: by message id, or by sender's device and its number.
type seenKey struct {
	id     string
	number schemas.ClientMessageID
}

func (d *delivery) keys() []seenKey {
	keys := []seenKey{{string(d.seen.MessageID), 0}}
	if d.seen.SenderDeviceID != "" && d.seen.MessageIDByClient > 0 {
		keys = append(keys, seenKey{string(d.seen.SenderDeviceID), d.seen.MessageIDByClient})
	}
	return keys
}

// inbox knows what was shown, what was acknowledged, and how far. It outlives
// connections: what one of them showed, the next one's repeats are measured
// against. It is bounded by what the server keeps in flight, seenLimit aside.
type inbox struct {
	cursor schemas.Cursor // all deliveries up to here are acknowledged

	open  []*delivery           // shown and not passed, in order of first arrival
	known map[seenKey]*delivery // open, and the acknowledged ones in past
	past  []*delivery           // acknowledged, oldest first, at most seenLimit

	due []ackDue // acknowledged by the application, to be told to the server
}

// ackDue is one message_delivered that has to be written.
type ackDue struct {
	id schemas.MessageID
	of *delivery // nil for a repeat of something acknowledged, which a cursor may not cover
}

func newInbox(state State) inbox {
	b := inbox{cursor: state.Cursor, known: make(map[seenKey]*delivery)}
	for _, s := range state.Seen {
		d := &delivery{seen: s, acked: true, passed: true}
		b.know(d)
		b.remember(d)
	}
	return b
}

// arrive takes a delivery in. For a repeat it returns false, and sees to its
// acknowledgement: at once where the application has acknowledged the first,
// otherwise together with it.
func (b *inbox) arrive(d *delivery) (fresh bool) {
	for _, key := range d.keys() {
		if first, ok := b.known[key]; ok {
			b.repeat(first, d)
			return false
		}
	}
	b.know(d)
	b.open = append(b.open, d)
	return true
}

func (b *inbox) repeat(first, again *delivery) {
	id := again.seen.MessageID
	switch {
	case first.acked:
		b.due = append(b.due, ackDue{id: id})
	case id != first.seen.MessageID && !slices.Contains(first.repeats, id):
		first.repeats = append(first.repeats, id)
	}
}

// withdraw undoes the arrival of d, the newest, which could not be shown.
func (b *inbox) withdraw(d *delivery) {
	b.forget(d)
	b.open = slices.DeleteFunc(b.open, func(o *delivery) bool { return o == d })
}

// acknowledge notes that the application has d, and moves the cursor over all
// deliveries that are acknowledged in a row. It reports whether that was news.
func (b *inbox) acknowledge(d *delivery) bool {
	if d.acked {
		return false
	}
	d.acked = true
	b.due = append(b.due, ackDue{id: d.seen.MessageID, of: d})
	for _, id := range d.repeats {
		b.due = append(b.due, ackDue{id: id})
	}
	b.remember(d)
	n := 0
	for n < len(b.open) && b.open[n].acked {
		passed := b.open[n]
		passed.passed = true
		b.cursor = passed.cursor
		n++
	}
	b.open = slices.Delete(b.open, 0, n)
	return true
}

// resume begins a new connection and is its resume_after. What was due is
// either covered by it, or comes again and is acknowledged then.
func (b *inbox) resume() schemas.Cursor {
	b.due = nil
	return b.cursor
}

// takeAcks gives the frames that tell the server what is due: one for each
// message, or, where many are, one cursor for all that it covers, unless that frame
// would be larger than limit.
func (b *inbox) takeAcks(now schemas.Timestamp, limit int) []schemas.ClientFrame {
	if len(b.due) == 0 {
		return nil
	}
	covered := func(a ackDue) bool { return a.of != nil && a.of.passed }
	many := 0
	for _, a := range b.due {
		if covered(a) {
			many++
		}
	}
	var frames []schemas.ClientFrame
	ack := &schemas.Ack{Cursor: b.cursor}
	byCursor := many > coalesceAbove && len(schemas.EncodeFrame(ack)) <= limit
	for _, a := range b.due {
		if !byCursor || !covered(a) {
			frames = append(frames, &schemas.DeliveredAck{MessageID: a.id, Timestamp: now})
		}
	}
	if byCursor {
		frames = append(frames, ack)
	}
	b.due = nil
	return frames
}

// seenLately are the acknowledged messages, for the store.
func (b *inbox) seenLately() []Seen {
	seen := make([]Seen, 0, len(b.past))
	for _, d := range b.past {
		seen = append(seen, d.seen)
	}
	return seen
}

func (b *inbox) know(d *delivery) {
	for _, key := range d.keys() {
		b.known[key] = d
	}
}

func (b *inbox) forget(d *delivery) {
	for _, key := range d.keys() {
		if b.known[key] == d {
			delete(b.known, key)
		}
	}
}

// remember keeps d, which is acknowledged, as one to know repeats by.
func (b *inbox) remember(d *delivery) {
	b.past = append(b.past, d)
	if len(b.past) > seenLimit {
		oldest := b.past[0]
		b.past = b.past[1:]
		b.forget(oldest)
	}
}
