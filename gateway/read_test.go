package gateway_test

import (
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/gateway"
	"roost/schemas"
	"roost/streams/streamstest"
)

// seen are the frames of a type that want skipped.
func seen[F schemas.ServerFrame](d *device) (all []F) {
	for _, f := range d.seen {
		if f, ok := f.(F); ok {
			all = append(all, f)
		}
	}
	return all
}

func counter(t *testing.T, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// watermark is what a device of alice's that was away is told of bob.
func (h *house) watermark(sender, reader schemas.UserID) (w schemas.Watermark) {
	h.t.Helper()
	err := h.conn.Receipts().Changes(time.Unix(0, 0)).OfUser(h.ctx(), sender, nil, func(items []schemas.ReceiptItem) {
		for _, i := range items {
			if i.UserID == reader {
				w = schemas.Watermark{DeliveredUpTo: i.DeliveredUpTo, ReadUpTo: i.ReadUpTo}
			}
		}
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return w
}

// changeSettings waits until the gateway goes by them.
func (h *house) changeSettings(u schemas.UserID, body string) {
	h.t.Helper()
	if status, a := h.call(u, "PUT", "/user/settings", body); status != 200 {
		h.t.Fatalf("%d %+v", status, a.Error)
	}
}

func slowReads(o *gateway.Options) { o.ReadDelay = time.Hour }

// The first of a reader's devices that has a message tells its sender, and the
// others do not.
func TestThreeDevicesOneReceipt(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	bob := []*device{h.connect("bob"), h.connect("bob"), h.connect("bob")}
	const n = 50
	var ids []schemas.MessageID
	for range n {
		ids = append(ids, alice.tell("bob", "x").MessageID)
	}
	var devices sync.WaitGroup
	for _, d := range bob {
		for range n {
			want[*schemas.Incoming](d)
		}
		devices.Go(func() {
			for _, id := range ids {
				d.ack(id)
			}
		})
	}
	devices.Wait()
	for _, d := range bob {
		d.roundTrip()
	}
	told := make(map[schemas.MessageID]int)
	for range n { // they come through NATS, and so perhaps after what follows
		told[want[*schemas.Delivered](alice).MessageID]++
	}
	alice.roundTrip()
	for _, r := range seen[*schemas.Delivered](alice) {
		told[r.MessageID]++
	}
	for _, id := range ids {
		if told[id] != 1 {
			t.Errorf("%s: told %d times", id, told[id])
		}
	}
}

func TestMessageRead(t *testing.T) { eachConsumer(t, testMessageRead) }

func testMessageRead(t *testing.T, h *house) {
	alice, tablet := h.connect("alice"), h.connect("alice")
	bob, other := h.connect("bob"), h.connect("bob")
	alice.tell("bob", "one")
	second := alice.tell("bob", "two")
	bob.take()
	m := want[*schemas.Incoming](bob)
	bob.send(&schemas.Read{MessageID: m.MessageID}) // known from the inbox
	for name, d := range map[string]*device{"sender": alice, "sender's other device": tablet, "reader's other device": other} {
		if r := want[*schemas.ReadBy](d); r.MessageID != second.MessageID || r.UserID != "bob" || r.Timestamp == 0 {
			t.Errorf("%s got %+v", name, r)
		}
	}
	bob.ack(m.MessageID)
	bob.roundTrip()
	if got := seen[*schemas.ReadBy](bob); len(got) != 0 {
		t.Errorf("the reading device got %+v", got)
	}
	goAway(t, h, "alice", alice)
	goAway(t, h, "bob", bob)
	alice = h.reconnect("alice", alice.welcome.DeviceID, "")
	want[*schemas.InboxDrained](alice)
	receipts := seen[*schemas.Receipts](alice)
	if len(receipts) != 1 || len(receipts[0].Items) != 1 || receipts[0].Items[0].ReadUpTo != second.MessageID ||
		receipts[0].Items[0].DeliveredUpTo != second.MessageID {
		t.Errorf("got %+v", receipts)
	}
}

// What was read is durable at the end of the session, in few writes; the last of a
// burst counts.
func TestReadsAreWrittenTogether(t *testing.T) {
	h := newHouse(t, slowReads, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	alice, bob := h.connect("alice"), h.connect("bob")
	const n = 100
	var last schemas.MessageID
	for range n {
		last = alice.tell("bob", "x").MessageID
		bob.send(&schemas.Read{MessageID: bob.take().MessageID})
	}
	bob.roundTrip()
	if got := h.watermark("alice", "bob"); got.ReadUpTo != "" {
		t.Fatalf("written at once: %+v", got)
	}
	goAway(t, h, "bob", bob)
	if got := h.watermark("alice", "bob"); got.ReadUpTo != last || got.DeliveredUpTo != last {
		t.Errorf("at the end of the session: %+v, not %s", got, last)
	}
	if got := counter(t, h.reg, "roost_gateway_reads_written_total"); got != 1 {
		t.Errorf("%v writes", got)
	}
}

// … and within a second while the session goes on.
func TestReadsAreWrittenInTime(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.ReadDelay = time.Millisecond })
	alice, bob := h.connect("alice"), h.connect("bob")
	id := alice.tell("bob", "x").MessageID
	bob.take()
	bob.send(&schemas.Read{MessageID: id})
	eventually(t, "the watermark", func() bool { return h.watermark("alice", "bob").ReadUpTo == id })
}

// A reader whose reads wait for more senders than are remembered loses none.
func TestReadsOfManySenders(t *testing.T) {
	h := newHouse(t, slowReads, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
	bob := h.connect("bob")
	id := h.conn.Clock().Next()
	const n = gateway.MaxReads + 10
	for i := range n {
		sender := schemas.UserID("sender" + string(rune('a'+i/26)) + string(rune('a'+i%26)))
		if err := h.conn.Directory().EnsureUser(h.ctx(), sender); err != nil {
			t.Fatal(err)
		}
		bob.send(&schemas.Read{MessageID: id, SenderID: sender})
	}
	bob.roundTrip()
	if got := counter(t, h.reg, "roost_gateway_reads_written_total"); got != gateway.MaxReads {
		t.Errorf("%v were written when %d waited", got, gateway.MaxReads)
	}
	goAway(t, h, "bob", bob)
	if got := counter(t, h.reg, "roost_gateway_reads_written_total"); got != n {
		t.Errorf("%v of %d were written", got, n)
	}
}

func TestReadRefused(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := alice.tell("bob", "x").MessageID
	bob.take()
	refused := func(f *schemas.Read, code schemas.Code, field string) {
		t.Helper()
		bob.send(f)
		if e := bob.wantError(code); len(e.Message) < len(field) || e.Message[:len(field)] != field {
			t.Errorf("got %q, not of %s", e.Message, field)
		}
	}
	early := h.conn.Clock().Next()
	refused(&schemas.Read{MessageID: early}, schemas.CodeInvalidArgument, "sender_id")
	refused(&schemas.Read{MessageID: early, SenderID: "nobody"}, schemas.CodeInvalidArgument, "sender_id")
	refused(&schemas.Read{MessageID: schemas.MessageIDAt(schemas.Now() + 120_000), SenderID: "alice"}, schemas.CodeInvalidArgument, "message_id")
	refused(&schemas.Read{MessageID: id, GroupID: schemas.GroupID("g-" + string(id))}, schemas.CodeNotAMember, "group_id")
	bob.send(&schemas.Read{MessageID: id, SenderID: "bob"}) // one's own: nothing to say
	goAway(t, h, "bob", bob)
	if got := h.watermark("alice", "bob"); got.ReadUpTo != "" {
		t.Errorf("a refused read was written: %+v", got)
	}
	alice.roundTrip()
	if got := seen[*schemas.ReadBy](alice); len(got) != 0 {
		t.Errorf("a refused read was told: %+v", got)
	}
}

// A later connection does not know who sent a message that is gone, and says so.
func TestReadNamesTheSender(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := alice.tell("bob", "x").MessageID
	bob.take()
	bob.roundTrip()
	goAway(t, h, "bob", bob)
	bob = h.reconnect("bob", bob.welcome.DeviceID, "")
	bob.send(&schemas.Read{MessageID: id})
	bob.wantError(schemas.CodeInvalidArgument)
	bob.send(&schemas.Read{MessageID: id, SenderID: "alice"})
	if r := want[*schemas.ReadBy](alice); r.MessageID != id {
		t.Errorf("got %+v", r)
	}
}

// Off on either side, nothing of it is told, live or later. The reader's own
// devices hear all the same.
func TestReadReceiptsOff(t *testing.T) {
	for _, who := range []schemas.UserID{"alice", "bob"} {
		t.Run(string(who), func(t *testing.T) {
			h := newHouse(t)
			alice, bob, other := h.connect("alice"), h.connect("bob"), h.connect("bob")
			h.changeSettings(who, `{"read_receipts":false}`)
			id := alice.tell("bob", "x").MessageID
			bob.take()
			other.take()
			bob.send(&schemas.Read{MessageID: id})
			want[*schemas.ReadBy](other)
			bob.roundTrip()
			other.roundTrip()
			goAway(t, h, "bob", bob)
			goAway(t, h, "bob", other)
			alice.roundTrip()
			goAway(t, h, "alice", alice)
			if got := seen[*schemas.ReadBy](alice); len(got) != 0 {
				t.Errorf("live: %+v", got)
			}
			if who == "bob" { // what was read while off is never told
				h.changeSettings(who, `{"read_receipts":true}`)
			}
			alice = h.reconnect("alice", alice.welcome.DeviceID, "")
			want[*schemas.InboxDrained](alice)
			receipts := seen[*schemas.Receipts](alice)
			if len(receipts) != 1 || receipts[0].Items[0].DeliveredUpTo != id || receipts[0].Items[0].ReadUpTo != "" {
				t.Errorf("later: %+v", receipts)
			}
		})
	}
}

// Who blocks a sender gives no sign of having read.
func TestBlockedSenderHearsNoReads(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := alice.tell("bob", "x").MessageID
	bob.take()
	h.block("bob", "alice")
	bob.send(&schemas.Read{MessageID: id})
	goAway(t, h, "bob", bob)
	alice.roundTrip()
	if got := seen[*schemas.ReadBy](alice); len(got) != 0 {
		t.Errorf("the sender got %+v", got)
	}
	if got := h.watermark("alice", "bob"); got.ReadUpTo != "" {
		t.Errorf("written: %+v", got)
	}
}

// Devices of one reader at two gateways.
func TestReadsAtTwoGateways(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h, there := joinHouse(t, nats), joinHouse(t, nats)
	alice, bob, other := h.connect("alice"), h.connect("bob"), there.connect("bob")
	first, second := alice.tell("bob", "1").MessageID, alice.tell("bob", "2").MessageID
	for _, d := range []*device{bob, other} {
		d.take()
		d.take()
	}
	other.send(&schemas.Read{MessageID: second})
	want[*schemas.ReadBy](alice)
	want[*schemas.ReadBy](bob)
	bob.send(&schemas.Read{MessageID: first}) // behind what the other has read
	want[*schemas.ReadBy](other)
	goAway(t, there, "bob", other)
	goAway(t, h, "bob", bob)
	if got := h.watermark("alice", "bob"); got.ReadUpTo != second {
		t.Errorf("read up to %s, not %s", got.ReadUpTo, second)
	}
}
