package streamstest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams/inbox"
)

// Device is a [inbox.Sink] that stores what it is sent and notes what breaks
// the contract of an inbox: an entry twice on one connection, more in flight than
// allowed, something after the end.
type Device struct {
	Inbox   inbox.Consumer // of this connection
	Session schemas.SessionID
	help    func() // called each second that something is awaited; may be nil

	mu      sync.Mutex // guards the rest
	got     []Delivery
	place   map[schemas.MessageID]int // in got
	acked   map[schemas.MessageID]bool
	drained []schemas.Cursor
	frames  []string
	ended   []inbox.EndReason
	faults  []string
	changed chan struct{} // closed, and made anew, whenever something comes
	narrow  bool          // there is room for space entries, and no more
	space   int
}

// Delivery is one entry as a device got it.
type Delivery struct {
	schemas.Message
	Cursor  schemas.Cursor
	Drained bool // it came after Drained
}

// NewDevice makes one connection of a device.
func NewDevice() *Device {
	return &Device{place: make(map[schemas.MessageID]int), acked: make(map[schemas.MessageID]bool), changed: make(chan struct{})}
}

var _ inbox.Sink = (*Device)(nil)

func (d *Device) note(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	close(d.changed)
	d.changed = make(chan struct{})
}

// Room implements [inbox.Sink].
func (d *Device) Room() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.narrow || d.space > 0
}

// Narrow leaves room for n more entries.
func (d *Device) Narrow(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.narrow, d.space = true, n
}

// Widen makes room for n more entries.
func (d *Device) Widen(n int) {
	d.Narrow(n)
	d.Inbox.Continue()
}

// Deliver implements [inbox.Sink].
func (d *Device) Deliver(entry []byte, c schemas.Cursor) {
	var in schemas.Incoming
	err := json.Unmarshal(schemas.AppendCursor(nil, entry, c), &in)
	d.note(func() {
		id := in.MessageID
		_, twice := d.place[id]
		switch {
		case err != nil:
			d.fault("an entry is no frame: %v", err)
		case in.Cursor != c || c == "":
			d.fault("the cursor of %s is %q in the frame and %q beside it", id, in.Cursor, c)
		case twice:
			d.fault("%s %q came twice on one connection", id, in.Content)
		case len(d.ended) > 0:
			d.fault("%s %q came after the end", id, in.Content)
		}
		d.space--
		d.place[id] = len(d.got)
		d.got = append(d.got, Delivery{in.Message, c, len(d.drained) > 0})
		if n := len(d.got) - len(d.acked); n > schemas.MaxInFlight {
			d.fault("%d messages are in flight, %d are allowed", n, schemas.MaxInFlight)
		}
	})
}

// Drained implements [inbox.Sink].
func (d *Device) Drained(c schemas.Cursor) {
	d.note(func() {
		if len(d.drained) > 0 || len(d.ended) > 0 {
			d.fault("drained a second time, or after the end")
		}
		d.drained = append(d.drained, c)
	})
}

// Frame implements [inbox.Sink].
func (d *Device) Frame(frame []byte) { d.note(func() { d.frames = append(d.frames, string(frame)) }) }

// End implements [inbox.Sink].
func (d *Device) End(reason inbox.EndReason) {
	d.note(func() {
		if len(d.ended) > 0 {
			d.fault("ended a second time")
		}
		d.ended = append(d.ended, reason)
	})
}

func (d *Device) fault(format string, a ...any) {
	d.faults = append(d.faults, fmt.Sprintf(format, a...))
}

// Ack acknowledges messages one by one, and returns those that were news.
func (d *Device) Ack(ids ...schemas.MessageID) (heads []schemas.EntryHead) {
	for _, id := range ids {
		d.mu.Lock()
		if _, ok := d.place[id]; ok {
			d.acked[id] = true // before the inbox hears of it and sends more
		}
		d.mu.Unlock()
		heads = append(heads, d.Inbox.Acknowledge(id)...)
	}
	return heads
}

// AckUpTo acknowledges by a cursor.
func (d *Device) AckUpTo(c schemas.Cursor) ([]schemas.EntryHead, error) {
	d.mu.Lock()
	last := slices.IndexFunc(d.got, func(m Delivery) bool { return m.Cursor == c })
	for _, m := range d.got[:last+1] {
		d.acked[m.MessageID] = true
	}
	d.mu.Unlock()
	return d.Inbox.AcknowledgeUpTo(c)
}

// Got is what came so far.
func (d *Device) Got() []Delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got)
}

// Acked says whether a message was acknowledged on this connection.
func (d *Device) Acked(id schemas.MessageID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.acked[id]
}

// Ended is why the connection was asked to close, or 0.
func (d *Device) Ended() inbox.EndReason {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ended) == 0 {
		return 0
	}
	return d.ended[0]
}

// Faults are the breaches of contract so far.
func (d *Device) Faults() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.faults)
}

// await waits until reached, which is called with the lock held.
func (d *Device) await(reached func() bool) bool {
	if d.help == nil {
		return d.awaitFor(Timeout, reached)
	}
	for end := time.Now().Add(Timeout); time.Now().Before(end); d.help() {
		if d.awaitFor(time.Second, reached) {
			return true
		}
	}
	return false
}

func (d *Device) awaitFor(bound time.Duration, reached func() bool) bool {
	timeout := time.NewTimer(bound)
	defer timeout.Stop()
	for {
		d.mu.Lock()
		ok, changed := reached(), d.changed
		d.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-timeout.C:
			return false
		}
	}
}

// Await waits for n messages and returns all that came.
func (d *Device) Await(t testing.TB, n int) []Delivery {
	t.Helper()
	if !d.await(func() bool { return len(d.got) >= n }) {
		t.Fatalf("%d messages came, not %d: %s", len(d.Got()), n, Contents(d.Got()))
	}
	return d.Got()
}

// AwaitMessage waits for one message.
func (d *Device) AwaitMessage(t testing.TB, id schemas.MessageID) {
	t.Helper()
	if !d.await(func() bool { _, ok := d.place[id]; return ok }) {
		t.Fatalf("%s did not come: %s", id, Contents(d.Got()))
	}
}

// AwaitDrained waits for Drained and returns what came before it.
func (d *Device) AwaitDrained(t testing.TB) []Delivery {
	t.Helper()
	if !d.await(func() bool { return len(d.drained) > 0 }) {
		t.Fatalf("the inbox was not drained; %d messages came", len(d.Got()))
	}
	got := d.Got()
	return got[:slices.IndexFunc(append(got, Delivery{Drained: true}), func(m Delivery) bool { return m.Drained })]
}

// AwaitEnd waits for the end.
func (d *Device) AwaitEnd(t testing.TB) inbox.EndReason {
	t.Helper()
	if !d.await(func() bool { return len(d.ended) > 0 }) {
		t.Fatal("the connection was not asked to close")
	}
	return d.Ended()
}

// AwaitFrame waits for a frame that is no entry.
func (d *Device) AwaitFrame(t testing.TB, frame string) {
	t.Helper()
	if !d.await(func() bool { return slices.Contains(d.frames, frame) }) {
		t.Fatalf("the frame %s did not come", frame)
	}
}

// Contents are the texts of messages.
func Contents(all []Delivery) []string {
	texts := make([]string, len(all))
	for i, m := range all {
		texts[i] = m.Content
	}
	return texts
}

// IDs are the ids of messages.
func IDs(all []Delivery) []schemas.MessageID {
	ids := make([]schemas.MessageID, len(all))
	for i, m := range all {
		ids[i] = m.MessageID
	}
	return ids
}
