package client

import (
	"slices"

	"roost/schemas"
)

// Bounds of an inbox.
const (
	seenLimit     = 1024 // acknowledged entries that are kept to recognise redeliveries
	coalesceAbove = 16   // more acknowledgements than this at once become one ack frame
)

// delivery is one entry of the inbox that is shown to the application, or queued for it.
type delivery struct {
	seen   Seen // of a change of a group or chat only the message id
	cursor schemas.Cursor

	redelivered []schemas.MessageID // other ids under which it was redelivered before its Ack
	acked       bool                // the application has acknowledged it
	passed      bool                // the cursor of the inbox covers it
}

// seenKey identifies a delivery: by message id, or by the sender's device and its number.
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

// inbox tracks which entries are shown and acknowledged, and the cursor. It outlives
// connections, so it recognises redeliveries on the next one. It holds at most the entries
// that the server keeps in flight, and seenLimit acknowledged ones.
type inbox struct {
	cursor schemas.Cursor // every delivery up to here is acknowledged

	open  []*delivery           // shown and not passed, in order of first arrival
	known map[seenKey]*delivery // those in open and past
	past  []*delivery           // acknowledged, oldest first, at most seenLimit

	due []dueAck // acknowledgements to write
}

// dueAck is one message_delivered to write.
type dueAck struct {
	id schemas.MessageID
	of *delivery // nil for a redelivery after the Ack, which the cursor may not cover
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

// arrive adds a delivery. It returns false for a redelivery, which is acknowledged at once
// if the application has acknowledged the first delivery, and otherwise together with it.
func (b *inbox) arrive(d *delivery) (fresh bool) {
	for _, key := range d.keys() {
		if first, ok := b.known[key]; ok {
			b.redeliver(first, d.seen.MessageID)
			return false
		}
	}
	b.know(d)
	b.open = append(b.open, d)
	return true
}

// redeliver notes that first was redelivered under id.
func (b *inbox) redeliver(first *delivery, id schemas.MessageID) {
	switch {
	case first.acked:
		b.due = append(b.due, dueAck{id: id})
	case id != first.seen.MessageID && !slices.Contains(first.redelivered, id):
		first.redelivered = append(first.redelivered, id)
	}
}

// withdraw undoes the arrival of d, the newest delivery, which had no room in the queue.
func (b *inbox) withdraw(d *delivery) {
	b.evict(d)
	b.open = slices.DeleteFunc(b.open, func(o *delivery) bool { return o == d })
}

// acknowledge marks d as acknowledged by the application, and advances the cursor to the
// first delivery without Ack. It returns false if d was acknowledged before.
func (b *inbox) acknowledge(d *delivery) bool {
	if d.acked {
		return false
	}
	d.acked = true
	b.due = append(b.due, dueAck{id: d.seen.MessageID, of: d})
	for _, id := range d.redelivered {
		b.due = append(b.due, dueAck{id: id})
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

// resume begins a new connection and returns its resume_after. It drops the due
// acknowledgements: the cursor covers them, or the server redelivers the entries.
func (b *inbox) resume() schemas.Cursor {
	b.due = nil
	return b.cursor
}

// takeAcks returns the frames of the due acknowledgements. Many of them that the cursor
// covers become one ack frame, unless it would be larger than limit. The others are one
// frame each.
func (b *inbox) takeAcks(now schemas.Timestamp, limit int) []schemas.ClientFrame {
	if len(b.due) == 0 {
		return nil
	}
	covered := func(a dueAck) bool { return a.of != nil && a.of.passed }
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

// recentlySeen returns the acknowledged entries that the store keeps.
func (b *inbox) recentlySeen() []Seen {
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

func (b *inbox) evict(d *delivery) {
	for _, key := range d.keys() {
		if b.known[key] == d {
			delete(b.known, key)
		}
	}
}

// remember keeps d, which is acknowledged, to recognise its redeliveries. The list is first
// in, first out: the store keeps it in this order.
func (b *inbox) remember(d *delivery) {
	b.past = append(b.past, d)
	if len(b.past) > seenLimit {
		oldest := b.past[0]
		b.past = b.past[1:]
		b.evict(oldest)
	}
}
