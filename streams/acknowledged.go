package streams

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"roost/schemas"
	"roost/streams/cursor"
	"roost/streams/jsapi"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// acknowledged keeps durable what devices have acknowledged and INBOX still holds: for
// each device one record in the bucket ACKS, written at most once an ackEvery, those of
// many devices in one commit. After a crash of the gateway, a device is redelivered at
// most what it acknowledged in the last ackEvery.
type acknowledged struct {
	c       *Conn
	wake    chan struct{} // 1; add fills it, run empties it; full means that run will look
	stopped chan struct{} // closed by run

	mu    sync.Mutex     // guards the rest
	dirty []*deviceInbox // with acknowledgements that are not in their record; each once
}

const (
	// ackEvery is how long acknowledgements gather before they are written.
	ackEvery = 500 * time.Millisecond
	// lastAcks bounds the last write at the end of the process.
	lastAcks = 2 * time.Second
)

// ackedUntil is a record of ACKS: what the device had acknowledged at a time. Entries
// that were stored later are not covered, whatever their sequence: after a loss of data
// a stream gives sequences again.
type ackedUntil struct {
	cursor.Position
	at time.Time
}

func (a ackedUntil) covers(e jsapi.Message) bool { return !e.Time.After(a.at) && a.Has(e.Sequence) }

func startAcknowledged(ctx context.Context, c *Conn) *acknowledged {
	a := &acknowledged{c: c, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	go a.run(ctx)
	return a
}

// add has the acknowledgements of an inbox written. Whoever calls holds the inbox's mu.
func (a *acknowledged) add(b *deviceInbox) {
	if b.dirty {
		return
	}
	b.dirty = true
	a.mu.Lock()
	a.dirty = append(a.dirty, b)
	a.mu.Unlock()
	poke(a.wake)
}

// run writes until ctx ends, and then once more.
func (a *acknowledged) run(ctx context.Context) {
	defer close(a.stopped)
	for {
		select {
		case <-a.wake:
		case <-ctx.Done():
		}
		select {
		case <-time.After(ackEvery):
			a.write(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAcks)
			defer cancel()
			a.write(last)
			return
		}
	}
}

// write commits a record for each inbox that is dirty. What fails is written again.
func (a *acknowledged) write(ctx context.Context) {
	a.mu.Lock()
	dirty := a.dirty
	a.dirty = nil
	a.mu.Unlock()
	for some := range slices.Chunk(dirty, publisher.MaxBatch) {
		set, of := make([]publisher.Entry, 0, len(some)), make([]*deviceInbox, 0, len(some))
		for _, b := range some {
			if record, ok := b.ackRecord(); ok {
				set, of = append(set, publisher.Entry{Subject: subject.Acks.Subject(subject.DeviceKey(b.addr)), Data: []byte(record)}), append(of, b)
			}
		}
		if len(set) == 0 {
			continue
		}
		outcomes, err := a.c.publisher.Store(ctx, subject.Acks.Stream(), set)
		for i, b := range of {
			failed := err
			if failed == nil {
				failed = outcomes[i].Err
			}
			if failed != nil {
				b.mu.Lock()
				a.add(b)
				b.mu.Unlock()
				err = failed
			}
		}
		if err != nil {
			a.c.log.Warn("acknowledgements could not be recorded; it is tried again", "devices", len(of), "error", err)
			return
		}
	}
}

// ackRecord is what the device has acknowledged and INBOX still holds; ok is false if
// there is nothing to record. The record is the cursor of an inbox that sent just that.
func (b *deviceInbox) ackRecord() (record schemas.Cursor, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dirty = false
	if b.window.unacked == len(b.window.entries) {
		return "", false
	}
	var p cursor.Position
	for i, e := range b.window.entries {
		switch {
		case i < b.window.prefix && e.seq <= b.pos:
			p.UpTo = e.seq // the device has all before it, see deviceInbox
		case e.acked:
			p.Sent = append(p.Sent, e.seq)
		}
	}
	return b.key.Encode(p), true
}

// readAcked reads what the device acknowledged on earlier connections.
func (b *deviceInbox) readAcked(ctx context.Context) (acked ackedUntil, err error) {
	m, ok, err := b.c.api.Last(ctx, subject.Acks.Stream(), subject.Acks.Subject(subject.DeviceKey(b.addr)))
	if err != nil {
		return acked, fmt.Errorf("failed to read what the device acknowledged: %w", err)
	}
	if !ok {
		return acked, nil
	}
	p, err := b.key.Decode(schemas.Cursor(m.Data))
	if err != nil { // of another epoch of the stream, or deleted: it covers nothing
		return acked, nil
	}
	return ackedUntil{p, m.Time}, nil
}
