package streams

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"roost/schemas"
)

// collector is a Sink that keeps contents.
type collector struct {
	got     []string
	drained int
}

func (c *collector) Deliver(entry []byte, _ schemas.Cursor) {
	m, err := schemas.DecodeMessage(entry)
	if err != nil {
		panic(err)
	}
	c.got = append(c.got, m.Content)
}
func (c *collector) Drained(schemas.Cursor) { c.drained++ }
func (c *collector) Frame([]byte)           {}
func (c *collector) End(EndReason)          {}

// unconnected is an inbox without a server, in the middle of its first read.
func unconnected() (*directInbox, *collector) {
	c := &Conn{clock: NewClock(nil), log: slog.New(slog.DiscardHandler), partitions: 1}
	cs := &Consumers{c: c, now: time.Now, inboxes: make(map[*deviceInbox]struct{})}
	sink := &collector{}
	ctx, cancel := context.WithCancel(context.Background())
	b := &directInbox{catching: true}
	b.c, b.owner, b.addr, b.sink, b.source, b.ctx, b.cancel = c, cs, Address{"bob", testDevice}, sink, b, ctx, cancel
	return b, sink
}

func content(text string) []byte {
	m := &schemas.Message{MessageID: "01K742SG00MESSAGEMESSAGE01", SenderID: "alice", ReceiverID: "bob", Content: text, Timestamp: 1}
	return m.StoredMessage()
}

// What comes during a read is delivered after it, by sequence; what came too often
// to be held makes it read again.
func TestHeldEntries(t *testing.T) {
	b, sink := unconnected()
	b.entry(12, content("12"))
	b.entry(11, content("11"))
	b.entry(11, content("11"))
	b.entry(5, content("5"))
	if len(sink.got) != 0 {
		t.Fatalf("%v was delivered during a read", sink.got)
	}
	b.apply([]stored{{sequence: 4, data: content("4")}, {sequence: 5, data: content("5")}})
	if !b.finish() || sink.drained != 1 || !slices.Equal(sink.got, []string{"4", "5", "11", "12"}) {
		t.Errorf("delivered %v, drained %d times", sink.got, sink.drained)
	}
	if b.pos != 5 {
		t.Errorf("a live entry moved pos to %d", b.pos)
	}

	b, sink = unconnected()
	for i := range uint64(schemas.MaxInFlight + 1) {
		b.entry(100+i, content("m"))
	}
	if len(b.held) != schemas.MaxInFlight || b.finish() || sink.drained != 0 {
		t.Errorf("%d entries were held, drained %d times: one was dropped without reading again", len(b.held), sink.drained)
	}

	b, sink = unconnected()
	b.gap()
	if b.finish() || sink.drained != 0 {
		t.Error("a gap during a read was forgotten")
	}
}

// The sweeper's look during a read, which may have passed before the new entry.
func TestCompareDuringARead(t *testing.T) {
	b, _ := unconnected()
	b.compare(10)
	if !b.again || b.newest != 10 || b.owner.late.Load() != 0 {
		t.Errorf("reads again %t, newest %d, late %d", b.again, b.newest, b.owner.late.Load())
	}
	b.again = false
	b.compare(10)
	b.behind = true
	b.compare(11)
	if b.again || b.newest != 10 {
		t.Error("it reads again for what is known, or what it is about to read")
	}
}

// A read of the stream goes over what the device was shown already, and pos with it.
func TestApply(t *testing.T) {
	b, sink := unconnected()
	b.catching = false
	b.resume = position{pos: 0, sent: []uint64{3}}
	b.entry(2, content("2"))
	ok := b.apply([]stored{{sequence: 1, data: content("1")}, {sequence: 2, data: content("2")}, {sequence: 3, data: content("3")}})
	if !ok || b.pos != 3 || !slices.Equal(sink.got, []string{"2", "1"}) {
		t.Errorf("applied %t up to %d, delivered %v", ok, b.pos, sink.got)
	}
	b.window.unacked = schemas.MaxInFlight
	if b.apply([]stored{{sequence: 4, data: content("4")}}) || b.pos != 3 {
		t.Errorf("a full window took an entry, pos %d", b.pos)
	}
	if !b.apply([]stored{{sequence: 2, data: content("2")}}) || b.pos != 3 {
		t.Errorf("an older read moved pos to %d", b.pos)
	}
	b.window.unacked = 2
	b.ended = true
	if b.apply([]stored{{sequence: 4, data: content("4")}}) || len(sink.got) != 2 {
		t.Error("an ended connection took an entry")
	}
}
