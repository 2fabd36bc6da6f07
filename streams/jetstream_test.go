package streams_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams"
	"roost/streams/inbox"
	"roost/streams/streamstest"
)

func inJetStream(o *streams.Options) { o.DeviceConsumer = inbox.JetStream }

// consumers are those of the one inbox stream, as an operator sees them.
func consumers(t *testing.T, c *streams.Conn) (all []*jetstream.ConsumerInfo) {
	t.Helper()
	stream, err := c.JetStream().Stream(timeout(t), "INBOX_0")
	if err != nil {
		t.Fatal(err)
	}
	list := stream.ListConsumers(timeout(t))
	for info := range list.Info() {
		all = append(all, info)
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// A consumer shows whose it is and what the device has not acknowledged, and is
// gone when the connection is.
func TestConsumerShowsTheDevice(t *testing.T) {
	d := sitAlone(t, inJetStream)
	one, two := d.Send("1"), d.Send("2")
	d.device.Await(t, 2)
	d.device.Ack(one.ID)
	all := consumers(t, d.conn)
	if len(all) != 1 {
		t.Fatalf("%d consumers, not one", len(all))
	}
	c := all[0]
	if !strings.HasPrefix(c.Name, string(d.To.Device)+"-") || c.Config.Description != "user "+string(d.To.User) {
		t.Errorf("it is named %q, %q", c.Name, c.Config.Description)
	}
	for end := time.Now().Add(streamstest.Timeout); c.NumAckPending != 1; c = consumers(t, d.conn)[0] { // it is on its way
		if time.Now().After(end) {
			t.Fatalf("%d messages wait for an acknowledgement, not one", c.NumAckPending)
		}
	}
	d.device.Ack(two.ID)
	again := streamstest.Start(t, d.timed, d.To, "")
	again.AwaitDrained(t)
	if n := len(consumers(t, d.conn)); n != 2 {
		t.Errorf("%d consumers for two connections of a device", n)
	}
	again.Close(t)
	d.device.Close(t)
	if n := len(consumers(t, d.conn)); n != 0 {
		t.Errorf("%d consumers for nobody", n)
	}
}

// Somebody deletes the consumer of a connected device.
func TestConsumerDeleted(t *testing.T) {
	d := sitAlone(t, inJetStream)
	first := d.Send("before")
	d.device.Await(t, 1)
	name := consumers(t, d.conn)[0].Name
	if err := d.conn.JetStream().DeleteConsumer(timeout(t), "INBOX_0", name); err != nil {
		t.Fatal(err)
	}
	second := d.Send("after")
	d.device.AwaitMessage(t, second.ID) // the sweeper, within seconds
	if got := streamstest.IDs(d.device.Got()); !slices.Equal(got[:2], append(got[:0:0], first.ID, second.ID)) || len(got) != 2 {
		t.Errorf("got %v", streamstest.Contents(d.device.Got()))
	}
}

// A message of the consumer goes astray. The next one shows it, and both come, in
// order.
func TestConsumerLosesAMessage(t *testing.T) {
	d := sitAlone(t, inJetStream)
	thief, err := d.conn.JetStream().Consumer(timeout(t), "INBOX_0", consumers(t, d.conn)[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := thief.Messages(jetstream.PullMaxMessages(1))
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan error, 1)
	go func() {
		_, err := stolen.Next()
		taken <- err
	}()
	var all []streamstest.Sent
	for len(taken) == 0 && len(all) < schemas.MaxInFlight/2 { // it takes turns with the device
		all = append(all, d.Commit("m"))
	}
	stolen.Stop()
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	all = append(all, d.Commit("last"))
	got := d.device.Await(t, len(all))
	for i, e := range all {
		if got[i].MessageID != e.ID {
			t.Fatalf("message %d of %d is another one", i, len(all))
		}
	}
}

// One more device than the stream takes consumers is refused, until another leaves.
func TestTooManyConsumers(t *testing.T) {
	c := connect(t, onePartition(), inJetStream)
	ctx := timeout(t)
	stream, err := c.JetStream().Stream(ctx, "INBOX_0")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxConsumers = 1
	if _, err := c.JetStream().UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	inboxes, err := c.StartConsumers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer inboxes.Close()
	one := streamstest.Start(t, inboxes, streamstest.NewAddress(c), "")
	one.AwaitDrained(t)
	if _, err := streamstest.Open(inboxes, streamstest.NewAddress(c), ""); err == nil {
		t.Error("a device has an inbox without a consumer")
	}
	one.Close(t)
	two := streamstest.Start(t, inboxes, streamstest.NewAddress(c), "")
	two.AwaitDrained(t)
	two.Inbox.Close(context.Background())
}
