package main

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roost/client"
	"roost/schemas"
	"roost/streams"
)

// consumersOf are the names and descriptions of the consumers of all inboxes, as
// `nats consumer ls` shows them.
func consumersOf(t *testing.T, nc *nats.Conn, partitions int) string {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var all strings.Builder
	for p := range partitions {
		stream, err := js.Stream(ctx, "INBOX_"+strconv.Itoa(p))
		if err != nil {
			t.Fatal(err)
		}
		list := stream.ListConsumers(ctx)
		for info := range list.Info() {
			all.WriteString(info.Name + " " + info.Config.Description + "\n")
		}
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// TestJetStreamConsumers has two people chat at a server with a consumer in
// JetStream for each device: an operator sees who is connected, and no more of who
// has gone.
func TestJetStreamConsumers(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	s := serve(t, dir, "", "--device-consumer", "jetstream", "--nats-listen", address, "--partitions", "2")
	nc, err := nats.Connect("nats://" + address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	alice, bob := join(t, s, dir, "alice"), join(t, s, dir, "bob")
	for _, content := range []string{"one", "two", "three"} {
		say(t, alice, bob, content)
		say(t, bob, alice, content)
	}
	list := consumersOf(t, nc, 2)
	for _, d := range []*client.Client{alice, bob} {
		w := d.Welcome()
		if !strings.Contains(list, string(w.DeviceID)) || !strings.Contains(list, "user "+string(w.UserID)+"\n") {
			t.Errorf("the consumers do not show device %s of %s:\n%s", w.DeviceID, w.UserID, list)
		}
	}
	closeAll([]*client.Client{alice, bob})
	eventually(t, "no consumer where nobody is connected", func() bool { return consumersOf(t, nc, 2) == "" })
	s.stop()
}

// TestClusterJetStreamConsumers: the gateway's role may do what they need, and
// nothing is left or split where a device moves between gateways.
func TestClusterJetStreamConsumers(t *testing.T) {
	c := startCluster(t, 1)
	c.noViolations()
	c.apply(streams.Topology{Partitions: 1})
	token(t, c.dir, "alice") // which makes the secret of both gateways
	a, b := c.gateway("--device-consumer", "jetstream"), c.gateway("--device-consumer", "jetstream")
	var bobs client.MemoryStore
	alice, bob := c.device("alice", &client.MemoryStore{}, a, b), c.device("bob", &bobs, a, b)
	say(t, alice, bob, "one")
	closeAll([]*client.Client{bob})
	accepted := send(t, alice, "bob", "while away")
	bob = c.device("bob", &bobs, b, a)
	settled(t, alice, bob, accepted, "while away")
	say(t, bob, alice, "two")

	// Two connections of a device at once: the newer one gets everything.
	carol := dialRaw(t, a, token(t, c.dir, "carol"))
	newer := redialRaw(t, b, token(t, c.dir, "carol"), carol.device, "")
	for _, content := range []string{"3", "4", "5"} {
		send(t, alice, "carol", content)
		if m := newer.until(schemas.TypeIncomingMessage).(*schemas.Incoming); m.Content != content {
			t.Errorf("got %q, not %q", m.Content, content)
		}
	}
	_, _ = carol.ws.CloseNow(), newer.ws.CloseNow()

	a.stop() // with alice on it
	say(t, alice, bob, "six")
	closeAll([]*client.Client{alice, bob})
	b.stop()
	if list := consumersOf(t, c.raw("admin"), 1); list != "" {
		t.Errorf("consumers are left:\n%s", list)
	}
}
