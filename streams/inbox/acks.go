package inbox

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

// ackRecorder makes acknowledgements of entries that are still in the stream durable: one
// record for each device in bucket ACKS, written at most once per ackEvery. The records of
// many devices go in one commit. After a crash of the gateway, a device is redelivered at
// most the entries that it acknowledged in the last ackEvery.
type ackRecorder struct {
	owner   *Consumers
	wake    chan struct{} // 1; add fills it, run empties it; full means that run will look
	stopped chan struct{} // closed by run

	mu    sync.Mutex        // guards the rest
	dirty []*deviceConsumer // with acknowledgements that are not in their record; each once
}

const (
	// ackEvery is how long acknowledgements are collected before they are written.
	ackEvery = 500 * time.Millisecond
	// lastAcks bounds the last write at the end of the process.
	lastAcks = 2 * time.Second
)

// ackRecord is a record of ACKS: the entries that the device had acknowledged at a time.
// Entries that were stored later are not covered, with any sequence: after a loss of data a
// stream gives sequences again.
type ackRecord struct {
	cursor.Position
	at time.Time
}

func (a ackRecord) covers(e jsapi.Message) bool { return !e.Time.After(a.at) && a.Has(e.Sequence) }

func startAckRecorder(ctx context.Context, owner *Consumers) *ackRecorder {
	a := &ackRecorder{owner: owner, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	go a.run(ctx)
	return a
}

// add has the acknowledgements of a consumer written. The caller holds the mu of b.
func (a *ackRecorder) add(b *deviceConsumer) {
	if b.dirty {
		return
	}
	b.dirty = true
	a.mu.Lock()
	a.dirty = append(a.dirty, b)
	a.mu.Unlock()
	notify(a.wake)
}

// run writes until ctx ends, and then once more.
func (a *ackRecorder) run(ctx context.Context) {
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

// write commits a record for each dirty consumer. A record that fails stays dirty.
func (a *ackRecorder) write(ctx context.Context) {
	a.mu.Lock()
	dirty := a.dirty
	a.dirty = nil
	a.mu.Unlock()
	for some := range slices.Chunk(dirty, publisher.MaxBatch) {
		set, of := make([]publisher.Entry, 0, len(some)), make([]*deviceConsumer, 0, len(some))
		for _, b := range some {
			if record, ok := b.recordAcks(); ok {
				set, of = append(set, publisher.Entry{Subject: subject.Acks.Subject(subject.DeviceKey(b.addr)), Data: []byte(record)}), append(of, b)
			}
		}
		if len(set) == 0 {
			continue
		}
		outcomes, err := a.owner.opts.Publisher.Store(ctx, subject.Acks.Stream(), set)
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
			a.owner.opts.Log.Warn("acknowledgements could not be recorded; the next write retries them", "devices", len(of), "error", err)
			return
		}
	}
}

// recordAcks returns the entries that the device has acknowledged and the stream still has;
// ok is false if there are none. The record is the cursor of a device that got only those.
func (b *deviceConsumer) recordAcks() (record schemas.Cursor, ok bool) {
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
			p.UpTo = e.seq // the device has all before it, see deviceConsumer
		case e.acked:
			p.Sent = append(p.Sent, e.seq)
		}
	}
	return b.key.Encode(p), true
}

// readAckRecord reads the acknowledgements of earlier connections.
func (b *deviceConsumer) readAckRecord(ctx context.Context) (acked ackRecord, err error) {
	m, ok, err := b.owner.opts.API.Last(ctx, subject.Acks.Stream(), subject.Acks.Subject(subject.DeviceKey(b.addr)))
	if err != nil {
		return acked, fmt.Errorf("failed to read the acknowledgements of the device: %w", err)
	}
	if !ok {
		return acked, nil
	}
	p, err := b.key.Decode(schemas.Cursor(m.Data))
	if err != nil { // of an earlier stream, or deleted: it covers nothing
		return acked, nil
	}
	return ackRecord{p, m.Time}, nil
}
