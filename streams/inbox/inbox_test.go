package inbox

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams/backpressure"
	"roost/streams/bus"
	"roost/streams/cursor"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// collector is a Sink that keeps contents.
type collector struct {
	got     []string
	drained int
	full    bool
	frames  int
	ends    []EndReason
}

func (c *collector) Room() bool { return !c.full }

func (c *collector) Deliver(entry []byte, _ schemas.Cursor) {
	m, err := schemas.DecodeMessage(entry)
	if err != nil {
		panic(err)
	}
	c.got = append(c.got, m.Content)
}
func (c *collector) Drained(schemas.Cursor) { c.drained++ }
func (c *collector) Frame([]byte)           { c.frames++ }
func (c *collector) End(reason EndReason)   { c.ends = append(c.ends, reason) }

// unconnected is a consumer without a server, in the middle of its first read.
func unconnected() (*directConsumer, *collector) {
	log := slog.New(slog.DiscardHandler)
	cs := &Consumers{opts: Options{Now: time.Now, Log: log, Observe: func(schemas.MessageID) {}, Unremoved: backpressure.New(log, time.Minute)},
		kind: directKind{}, frontiers: []Frontier{unknown{}}, acks: &ackRecorder{wake: make(chan struct{}, 1)}}
	cs.removers = []*remover{{owner: cs, wake: make(chan struct{}, 1)}}
	sink := &collector{}
	ctx, cancel := context.WithCancel(context.Background())
	b := &directConsumer{reading: true}
	b.owner, b.addr, b.sink, b.source, b.ctx, b.cancel = cs, subject.Address{User: "bob", Device: testDevice}, sink, b, ctx, cancel
	return b, sink
}

func content(text string) []byte {
	m := &schemas.Message{MessageID: "01K742SG00MESSAGEMESSAGE01", SenderID: "alice", ReceiverID: "bob", Content: text, Timestamp: 1}
	return m.StoredMessage()
}

// The state only moves forward: Drained and End are called once, and nothing is delivered after
// the end.
func TestStates(t *testing.T) {
	b, sink := unconnected()
	b.reading = false
	for range 2 {
		b.allDelivered()
	}
	if b.enter(backlog) || b.state != live {
		t.Errorf("the state went back to %d", b.state)
	}
	b.Removed()
	b.Replaced("a later session")
	b.enter(closed)
	b.Removed()
	b.allDelivered()
	b.Entry(1, content("1"))
	b.Frame([]byte("{}"))
	b.Gap()
	b.Continue()
	if sink.drained != 1 || !slices.Equal(sink.ends, []EndReason{EndRemoved}) || len(sink.got) != 0 || sink.frames != 0 || b.running != 0 {
		t.Errorf("drained %d times, ended with %v, got %v and %d frames, %d reads", sink.drained, sink.ends, sink.got, sink.frames, b.running)
	}
}

// Without room an entry stays in the stream, and is read after the sink has room.
func TestContinue(t *testing.T) {
	b, sink := unconnected()
	b.reading, sink.full = false, true
	b.Entry(1, content("1"))
	if len(sink.got) != 0 || !b.lagging {
		t.Fatalf("without room %v was delivered, lagging is %v", sink.got, b.lagging)
	}
	b.reading = true // so that a read is only asked for
	b.Continue()
	if b.readAgain {
		t.Error("it reads though there is no room")
	}
	sink.full = false
	b.Continue()
	if !b.readAgain {
		t.Error("it does not read on")
	}
}

// What is held during a read is bounded in bytes.
func TestHeldEntriesAreBounded(t *testing.T) {
	b, _ := unconnected()
	entry := content(strings.Repeat("x", 1000))
	for seq := range uint64(schemas.MaxInFlight) {
		b.Entry(seq+1, entry)
	}
	if b.heldSize > maxHeldBytes || len(b.held) < 50 || !b.readAgain {
		t.Errorf("%d entries of %d bytes are held, read again: %v", len(b.held), b.heldSize, b.readAgain)
	}
}

// What comes during a read is delivered after it, by sequence; what came too often
// to be held makes it read again.
func TestHeldEntries(t *testing.T) {
	b, sink := unconnected()
	b.Entry(12, content("12"))
	b.Entry(11, content("11"))
	b.Entry(11, content("11"))
	b.Entry(5, content("5"))
	if len(sink.got) != 0 {
		t.Fatalf("%v was delivered during a read", sink.got)
	}
	b.apply([]jsapi.Message{{Sequence: 4, Data: content("4")}, {Sequence: 5, Data: content("5")}})
	if !b.deliverHeld() || sink.drained != 1 || !slices.Equal(sink.got, []string{"4", "5", "11", "12"}) {
		t.Errorf("delivered %v, drained %d times", sink.got, sink.drained)
	}
	if b.pos != 5 {
		t.Errorf("a live entry moved pos to %d", b.pos)
	}

	b, sink = unconnected()
	for i := range uint64(schemas.MaxInFlight + 1) {
		b.Entry(100+i, content("m"))
	}
	if len(b.held) != schemas.MaxInFlight || b.deliverHeld() || sink.drained != 0 {
		t.Errorf("%d entries were held, drained %d times: one was dropped without reading again", len(b.held), sink.drained)
	}

	b, sink = unconnected()
	b.Gap()
	if b.deliverHeld() || sink.drained != 0 {
		t.Error("a gap during a read was ignored")
	}
}

// The sweeper's look during a read, which may have passed before the new entry.
func TestCompareDuringARead(t *testing.T) {
	b, _ := unconnected()
	b.compareNewest(10)
	if !b.readAgain || b.newest != 10 || b.owner.late.Load() != 0 {
		t.Errorf("reads again %t, newest %d, late %d", b.readAgain, b.newest, b.owner.late.Load())
	}
	b.readAgain = false
	b.compareNewest(10)
	b.lagging = true
	b.compareNewest(11)
	if b.readAgain || b.newest != 10 {
		t.Error("it reads again for what is known, or what it is about to read")
	}
}

// A read of the stream passes entries that the device got live, and pos with it.
func TestApply(t *testing.T) {
	b, sink := unconnected()
	b.reading = false
	b.resume = cursor.Position{UpTo: 0, Sent: []uint64{3}}
	b.Entry(2, content("2"))
	ok := b.apply([]jsapi.Message{{Sequence: 1, Data: content("1")}, {Sequence: 2, Data: content("2")}, {Sequence: 3, Data: content("3")}})
	if !ok || b.pos != 3 || !slices.Equal(sink.got, []string{"2", "1"}) {
		t.Errorf("applied %t up to %d, delivered %v", ok, b.pos, sink.got)
	}
	b.window.unacked = schemas.MaxInFlight
	if b.apply([]jsapi.Message{{Sequence: 4, Data: content("4")}}) || b.pos != 3 {
		t.Errorf("a full window took an entry, pos %d", b.pos)
	}
	if !b.apply([]jsapi.Message{{Sequence: 2, Data: content("2")}}) || b.pos != 3 {
		t.Errorf("an older read moved pos to %d", b.pos)
	}
	b.window.unacked = 2
	b.enter(ended)
	if b.apply([]jsapi.Message{{Sequence: 4, Data: content("4")}}) || len(sink.got) != 2 {
		t.Error("an ended connection took an entry")
	}
}

// In single-process mode pos follows the delivery frontier, but passes no entry that is held
// or left in the stream.
func TestAdvance(t *testing.T) {
	for name, c := range map[string]struct {
		single, reading, lagging bool
		want                     uint64
	}{
		"single-process mode": {single: true, want: 9},
		"during a read":       {single: true, reading: true},
		"lagging":             {single: true, lagging: true},
		"with other gateways": {},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := unconnected()
			frontier := new(bus.Frontier)
			if c.single {
				b.owner.frontiers[0] = frontier
			}
			b.reading, b.lagging = c.reading, c.lagging
			for seq := uint64(1); seq < 10; seq++ {
				frontier.Add(seq)
			}
			b.advanceToFrontier()
			if b.pos != c.want {
				t.Errorf("pos is %d, not %d", b.pos, c.want)
			}
		})
	}
}

// The sweeper leaves an inbox alone where nothing is due, and only there.
func TestQuiet(t *testing.T) {
	b, _ := unconnected()
	b.owner.opts.AckTimeout, b.reading = DefaultAckTimeout, false
	now := time.Now()
	b.compareAt = now.Add(time.Minute)
	quiet := func() bool {
		b.sweep(now)
		return b.quietUntil.Load() == b.compareAt.UnixNano()
	}
	if !quiet() {
		t.Error("it is looked at each second with nothing to do")
	}
	b.Entry(1, content("1"))
	if quiet() {
		t.Error("the sweeper does not see that the device does not acknowledge")
	}
	b.Acknowledge("01K742SG00MESSAGEMESSAGE01")
	if quiet() {
		t.Error("the acknowledged entry is not removed")
	}
	b.window.drop(1)
	b.removeAt = time.Time{}
	if !quiet() {
		t.Error("it is looked at each second with nothing to do again")
	}
	b.wake()
	b.window.unacked = schemas.MaxInFlight
	b.lagging = true
	if quiet() {
		t.Error("a lagging consumer does not read")
	}
}

// A turn that only verifies does not put off the removal; after a removal the time counts again.
func TestVerifyingDoesNotPutOffRemoval(t *testing.T) {
	b, _ := unconnected()
	b.reading = false
	now := time.Now()
	b.owner.opts.Now = func() time.Time { return now }
	for seq := uint64(1); seq <= 3; seq++ {
		b.Entry(seq, content(strconv.FormatUint(seq, 10)))
		b.Acknowledge("01K742SG00MESSAGEMESSAGE01")
	}
	due := b.removeAt
	if due.IsZero() {
		t.Fatal("the acknowledged entries are never removed")
	}
	now = due.Add(-time.Millisecond)
	b.endTurn(&removeTurn{inbox: &b.deviceConsumer, done: make(chan struct{})})
	if b.removeAt != due {
		t.Errorf("the removal is due %v later", b.removeAt.Sub(due))
	}
	b.endTurn(&removeTurn{inbox: &b.deviceConsumer, done: make(chan struct{}), prefix: b.window.ackedPrefix()[:1:1], removed: 1})
	if !b.removeAt.After(now) || b.removeAt == due {
		t.Errorf("after a removal the next one is due %v later", b.removeAt.Sub(now))
	}
}

// BenchmarkSweep is the work of the sweeper each second if nothing is due.
func BenchmarkSweep(b *testing.B) {
	const devices = 50_000
	first, _ := unconnected()
	cs := first.owner
	cs.opts.AckTimeout = DefaultAckTimeout
	for range devices {
		d, _ := unconnected()
		d.owner, d.compareAt, d.reading = cs, time.Now().Add(time.Hour), false
		cs.add(&d.deviceConsumer)
	}
	for b.Loop() {
		if due := cs.sweepDue(); len(due) != 0 {
			b.Fatalf("%d partitions have something due", len(due))
		}
	}
}

func TestSparse(t *testing.T) {
	at := func(seqs ...uint64) (entries []windowEntry) {
		for _, seq := range seqs {
			entries = append(entries, windowEntry{seq: seq})
		}
		return entries
	}
	for _, test := range []struct {
		entries []windowEntry
		want    bool
	}{{at(7), false}, {at(7, 8), false}, {at(7, 9000), false}, {at(7, 16000), true}, {at(7, 8, 9, 16000), false}, {at(7, 8000, 16000, 22000), true}} {
		if got := sparse(test.entries); got != test.want {
			t.Errorf("%v: %v", test.entries, got)
		}
	}
}

const testDevice schemas.DeviceID = "01K73S8AC0DEV1CEDEV1CEDEV1"
