package streams_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"roost/streams"
	"roost/streams/inbox"
	"roost/streams/streamstest"
)

// atDesk is one gateway, one device of it that is connected, and who writes to it.
type atDesk struct {
	*streamstest.Sender
	timed
	device *streamstest.Device
}

// sit connects the device at c; writer is another process.
func sit(t *testing.T, c, writer *streams.Conn) *atDesk {
	t.Helper()
	inboxes, err := startTimed(timeout(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(inboxes.Close)
	a := streamstest.NewAddress(c)
	d := &atDesk{Sender: &streamstest.Sender{T: t, Conn: writer, From: "alice", To: a}, timed: inboxes.(timed)}
	d.device = streamstest.Start(t, inboxes, a, "")
	d.device.AwaitDrained(t)
	t.Cleanup(func() { d.device.Close(t) })
	return d
}

func sitAlone(t *testing.T, opts ...func(*streams.Options)) *atDesk {
	c := connect(t, onePartition(), opts...)
	return sit(t, c, c)
}

// eachKind runs a test with each kind of device consumer, and with the direct one
// where one process is all there is.
func eachKind(t *testing.T, test func(t *testing.T, kind func(*streams.Options))) {
	for name, kind := range map[string]func(*streams.Options){
		"direct":    func(o *streams.Options) { o.DeviceConsumer = inbox.Direct },
		"jetstream": func(o *streams.Options) { o.DeviceConsumer = inbox.JetStream },
		"alone":     func(o *streams.Options) { o.SingleProcess = true },
	} {
		t.Run(name, func(t *testing.T) { test(t, kind) })
	}
}

// after sweeps once, that much later.
func (d *atDesk) after(later time.Duration) {
	d.clock.Advance(later)
	d.Sweep(context.Background())
}

// afterwards sweeps, each time so much later that removals are due, until come: a
// removal that is about to end may put off the next.
func (d *atDesk) afterwards(come func() bool) {
	d.T.Helper()
	for end := time.Now().Add(streamstest.Timeout); !come(); runtime.Gosched() {
		if time.Now().After(end) {
			d.T.Fatal("removals did not bring it about")
		}
		d.after(streams.RemoveDelay)
	}
}

func TestUnacknowledgedForTooLong(t *testing.T) { eachKind(t, testUnacknowledgedForTooLong) }

func testUnacknowledgedForTooLong(t *testing.T, kind func(*streams.Options)) {
	d := sitAlone(t, kind)
	one := d.Send("1")
	d.device.Await(t, 1)
	d.after(streams.AckTimeout)
	two := d.Send("2")
	d.device.Await(t, 2)
	d.device.Ack(two.ID) // the other is still missing
	if d.device.Ended() != 0 {
		t.Error("ended within the time")
	}
	d.after(time.Millisecond)
	if reason := d.device.AwaitEnd(t); reason != inbox.EndSlow {
		t.Errorf("ended with %d, not slow", reason)
	}
	d.after(time.Hour)
	d.Send("3")
	d.device.Close(t)
	if len(d.device.Got()) != 2 {
		t.Error("something was delivered after the end")
	}
	if !d.Held(one.ID) {
		t.Error("it was removed without an acknowledgement")
	}
}

func TestAcknowledgedInTime(t *testing.T) { eachKind(t, testAcknowledgedInTime) }

func testAcknowledgedInTime(t *testing.T, kind func(*streams.Options)) {
	d := sitAlone(t, kind)
	for i := range 5 {
		e := d.Send(fmt.Sprint(i))
		d.device.AwaitMessage(t, e.ID)
		d.after(streams.AckTimeout)
		d.device.Ack(e.ID)
	}
	d.after(time.Hour)
	if reason := d.device.Ended(); reason != 0 {
		t.Errorf("a device that acknowledges was ended with %d", reason)
	}
}

// The sweeper removes what was acknowledged some time ago, while the device stays.
func TestSweeperRemoves(t *testing.T) { eachKind(t, testSweeperRemoves) }

func testSweeperRemoves(t *testing.T, kind func(*streams.Options)) {
	d := sitAlone(t, kind)
	e := d.Send("1")
	d.device.Await(t, 1)
	d.device.Ack(e.ID)
	d.after(streams.RemoveDelay/2 - time.Millisecond)
	if !d.Held(e.ID) {
		t.Error("it was removed by itself, not together with others")
	}
	d.after(streams.RemoveDelay / 2)
	d.AwaitGone(e.ID)
}

// Enough of them together are removed without a sweep.
func TestRemovedTogether(t *testing.T) { eachKind(t, testRemovedTogether) }

func testRemovedTogether(t *testing.T, kind func(*streams.Options)) {
	d := sitAlone(t, kind)
	var last streamstest.Sent
	for n := range streams.RemoveBatch {
		last = d.Send(fmt.Sprint(n))
		d.device.AwaitMessage(t, last.ID)
		if n == streams.RemoveBatch-1 && !d.Held(last.ID) {
			t.Error("removed before it was acknowledged")
		}
		d.device.Ack(last.ID)
	}
	d.AwaitGone(last.ID)
}

// A message that somebody else removed, the device's other connection say, is no
// obstacle.
func TestRemovedByAnother(t *testing.T) {
	d := sitAlone(t)
	e := d.Send("1")
	d.device.Await(t, 1)
	if err := d.conn.DeleteMessage(timeout(t), d.To, e.Sequence); err != nil {
		t.Fatal(err)
	}
	if err := d.conn.DeleteMessage(timeout(t), d.To, e.Sequence); err != nil {
		t.Errorf("a message that is gone: %v", err)
	}
	d.device.Ack(e.ID)
	next := d.Send("2")
	d.device.AwaitMessage(t, next.ID)
	d.device.Ack(next.ID)
	d.after(streams.RemoveDelay)
	d.AwaitGone(next.ID)
}

func TestSweeperFindsLostMessages(t *testing.T) {
	d := sitAlone(t)
	lost := d.Commit("no live message")
	d.after(streams.CompareFirst - time.Millisecond)
	if n := d.Late(); n != 0 {
		t.Errorf("%d were found too early", n)
	}
	d.after(time.Millisecond)
	d.device.AwaitMessage(t, lost.ID)
	if n := d.Late(); n != 1 {
		t.Errorf("%d late entries were counted, not 1", n)
	}
	d.device.Ack(lost.ID)
	next := d.Send("told")
	d.device.AwaitMessage(t, next.ID)
	d.device.Ack(next.ID)
	d.after(2 * time.Minute) // and nothing is found where nothing is lost
	if n := d.Late(); n != 1 {
		t.Errorf("%d late entries were counted, not 1", n)
	}
}

// A newer live message, which is not acknowledged, does not hide a lost one.
func TestSweeperFindsWhatWasLostBefore(t *testing.T) {
	d := sitAlone(t)
	lost := d.Commit("no live message")
	told := d.Send("told")
	d.device.AwaitMessage(t, told.ID)
	d.after(streams.CompareFirst)
	d.device.AwaitMessage(t, lost.ID)
	if got := streamstest.Contents(d.device.Got()); len(got) != 2 {
		t.Errorf("got %q", got)
	}
}

// What is under way when the connection ends is not delivered to it.
func TestNothingAfterTheEnd(t *testing.T) {
	d := sitAlone(t)
	release := d.conn.HoldReaders(t)
	streams.Gap(d.device.Inbox) // the read waits, and live entries with it
	elsewhere := &streamstest.Sender{T: t, Conn: d.conn, From: "alice", To: streamstest.NewAddress(d.conn)}
	d.Tell(elsewhere.Commit("held")) // as if a replica that lags had not got it yet
	d.conn.Bus().PublishRemoved(d.To)
	d.device.AwaitEnd(t)
	release()
	d.device.Close(t) // tells what came after the end
	if n := len(d.device.Got()); n != 0 {
		t.Errorf("%d messages came after the end", n)
	}
}

// Live entries that come during a read are delivered after it, however many.
func TestManyDuringARead(t *testing.T) {
	d := sitAlone(t)
	release := d.conn.HoldReaders(t)
	streams.Gap(d.device.Inbox)
	all := d.CommitMany(600)
	for _, e := range all {
		d.Tell(e)
	}
	release()
	for acked := 0; acked < len(all); {
		got := d.device.Await(t, acked+1)
		d.device.Ack(streamstest.IDs(got[acked:])...)
		acked = len(got)
	}
}

// A gateway that loses NATS reads its inboxes again when it is back.
func TestReconnectIsAGap(t *testing.T) { eachKind(t, testReconnectIsAGap) }

func testReconnectIsAGap(t *testing.T, kind func(*streams.Options)) {
	port := streamstest.FreePort(t)
	server := streamstest.Server(t, t.TempDir(), streamstest.OnPort(port))
	network := streamstest.NewNetwork(t, port)
	writer := streamstest.Connect(t, server, onePartition())
	d := sit(t, streamstest.Connect(t, server, onePartition(), streamstest.ByURL(network.Address), kind), writer)
	if err := d.conn.Ready(); err != nil {
		t.Fatal(err)
	}
	away := d.conn.LiveConn().StatusChanged(nats.RECONNECTING)
	network.Cut()
	streamstest.Receive(t, away)
	if d.conn.Ready() == nil {
		t.Error("a process without NATS is ready")
	}
	lost := d.Send("while it was away")
	network.Mend()
	d.device.AwaitMessage(t, lost.ID)
}

// A queue that overflows loses live messages of whoever comes then; each of them
// reads its inbox again.
func TestSlowConsumerIsAGap(t *testing.T) {
	server := streamstest.Server(t, t.TempDir())
	c, writer := streamstest.Connect(t, server, onePartition()), streamstest.Connect(t, server, onePartition())
	d := sit(t, c, writer)
	busy := streamstest.NewAddress(c)
	release, err := c.BlockLive(busy)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for range streams.LiveQueue + 100 {
		writer.Bus().PublishFrame(busy, []byte("{}"))
	}
	lost := d.Send("one too many")
	d.device.AwaitMessage(t, lost.ID) // while the dispatcher still hangs
}

// More devices than one request may ask for.
func TestSweeperManyDevices(t *testing.T) {
	c := connect(t, onePartition())
	inboxes, err := startTimed(timeout(t), c)
	if err != nil {
		t.Fatal(err)
	}
	defer inboxes.Close()
	const n = 1050
	devices, lost := make([]*streamstest.Device, n), make([]streamstest.Sent, n)
	for i := range devices {
		s := &streamstest.Sender{T: t, Conn: c, From: "alice", To: streamstest.NewAddress(c)}
		devices[i] = streamstest.Start(t, inboxes, s.To, "")
		devices[i].AwaitDrained(t)
		lost[i] = s.Commit("lost")
	}
	d := &atDesk{timed: inboxes.(timed)}
	d.after(streams.CompareFirst)
	for i, device := range devices {
		device.AwaitMessage(t, lost[i].ID)
		device.Close(t)
	}
}

func BenchmarkConnect(b *testing.B) {
	c := connect(b, onePartition())
	cs, err := c.StartConsumers(timeout(b))
	if err != nil {
		b.Fatal(err)
	}
	defer cs.Close()
	a := streamstest.NewAddress(c)
	b.ReportAllocs()
	for b.Loop() {
		d := streamstest.Start(b, cs, a, "")
		d.AwaitDrained(b)
		d.Close(b)
	}
}
