package streams_test

import (
	"runtime"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"

	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
)

func alone(o *streams.Options) { o.SingleProcess = true }

// Where one process is all there is it knows what it showed: it removes without
// reading, and yet never what nobody told of.
func TestAloneRemovesWithoutReading(t *testing.T) {
	d := sitAlone(t, alone)
	acknowledge := func(e streamstest.Sent) {
		d.device.AwaitMessage(t, e.ID)
		d.device.Ack(e.ID)
	}
	first := d.Send("0") // nobody knows what was before it
	acknowledge(first)
	d.after(streams.RemoveDelay)
	d.AwaitGone(first.ID)

	for d.conn.Admission().Unremoved() > 0 { // a removal that ends now would put off the next
		runtime.Gosched()
	}
	release := d.conn.HoldReaders(t)
	for range 10 {
		acknowledge(d.Send("told"))
	}
	s, err := d.conn.JetStream().Stream(timeout(t), "INBOX_0")
	if err != nil {
		t.Fatal(err)
	}
	ctx := timeout(t)
	d.after(streams.RemoveDelay)
	for left := uint64(1); left > 0; {
		info, err := s.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		left = info.State.Msgs
	}
	release()

	lost := d.Commit("not told")
	acknowledge(d.Send("told"))
	d.afterwards(func() bool {
		return slices.ContainsFunc(d.device.Got(), func(m streamstest.Delivery) bool { return m.MessageID == lost.ID })
	})
}

// Nothing of it goes through NATS.
func TestAloneShowsLocally(t *testing.T) {
	c := connect(t, onePartition(), alone)
	before := c.LiveConn().NumSubscriptions()
	d := sit(t, c, c)
	if n := c.LiveConn().NumSubscriptions() - before; n != 0 {
		t.Errorf("%d subscriptions for a device", n)
	}
	heard := make(chan *nats.Msg, 16)
	for _, subject := range []string{"live.>", "evt.>"} {
		if _, err := d.conn.LiveConn().ChanSubscribe(subject, heard); err != nil {
			t.Fatal(err)
		}
	}
	e := d.Send("1")
	d.device.AwaitMessage(t, e.ID)
	d.conn.Bus().PublishFrame(d.To, []byte(`{"type":"typing"}`))
	d.conn.Bus().PublishDelivered("bob", []byte("{}"))
	d.conn.Bus().PublishSession(schemas.SessionEvent{UserID: "bob"})
	if err := d.conn.LiveConn().FlushWithContext(timeout(t)); err != nil {
		t.Fatal(err)
	}
	if n := len(heard); n > 0 {
		t.Errorf("%d messages went through NATS", n)
	}
}
