package streams_test

import (
	"slices"
	"testing"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/inbox"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// claimed connects a device and returns the ids of all that waits for it.
func claimed(t *testing.T, c *streams.Conn, a subject.Address) []schemas.MessageID {
	t.Helper()
	cs, err := c.StartConsumers(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	defer cs.Close()
	d := streamstest.Start(t, cs, a, "")
	defer d.Close(t)
	return streamstest.IDs(d.AwaitDrained(t))
}

func TestClaim(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	nobody := &streamstest.Sender{T: t, Conn: c, From: "alice", To: subject.Unclaimed("bob")}
	var want []schemas.MessageID
	for _, e := range nobody.CommitMany(200) {
		want = append(want, e.ID)
	}
	nobody.CommitPoison()
	nobody.CommitPoison()
	poisoned := nobody.Commit("behind one that nobody can read")
	want = append(want, poisoned.ID)

	bob := subject.Address{User: "bob", Device: addDevice(t, c, "bob").DeviceID}
	device := &streamstest.Sender{T: t, Conn: c, From: "alice", To: bob}
	// An earlier claim copied some, and ended before it removed them.
	first := &schemas.Message{MessageID: want[0], SenderID: "alice", ReceiverID: "bob", Content: "m0", Timestamp: 1}
	device.CommitEntry(first, first.StoredMessage())

	for range 2 { // and a claim may be repeated
		if err := c.Claim(ctx, bob); err != nil {
			t.Fatal(err)
		}
		if got, _ := person(t, c, "bob").Device(bob.Device); got.Unclaimed {
			t.Error("the device is still to claim")
		}
		if nobody.Held(want[0]) || nobody.Held(poisoned.ID) {
			t.Error("the originals are still there")
		}
		if got := claimed(t, c, bob); !slices.Equal(got, want) {
			t.Fatalf("%d messages were claimed, not %d, in order", len(got), len(want))
		}
	}
	s, err := c.JetStream().Stream(ctx, "INBOX_0")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != uint64(len(want))+2 { // the poison goes with what stands before it
		t.Errorf("the stream has %d entries, not %d", n, len(want)+2)
	}
	// More than one read holds, and what came after the first claim.
	for _, e := range nobody.CommitMany(300) {
		want = append(want, e.ID)
	}
	if err := c.Claim(ctx, bob); err != nil {
		t.Fatal(err)
	}
	if !nobody.Held(want[len(want)-1]) && !device.Held(want[len(want)-1]) {
		t.Error("a message was lost by a claim")
	}
	if nobody.Held(want[len(want)-1]) {
		t.Error("not all was claimed")
	}
}

// A claim that is cut short before its copies are durable leaves the originals.
func TestClaimCutShort(t *testing.T) {
	c := connect(t, onePartition())
	nobody := &streamstest.Sender{T: t, Conn: c, From: "alice", To: subject.Unclaimed("bob")}
	waits := nobody.Commit("waits")
	bob := subject.Address{User: "bob", Device: addDevice(t, c, "bob").DeviceID}
	release := c.HoldCommits(t, "INBOX_0")
	if err := c.Claim(briefly(t), bob); err == nil {
		t.Error("claimed, and nothing was stored")
	}
	if d, _ := person(t, c, "bob").Device(bob.Device); !d.Unclaimed || !nobody.Held(waits.ID) {
		t.Errorf("the original is still there: %t, and the device is %+v", nobody.Held(waits.ID), d)
	}
	release()
	if err := c.Claim(timeout(t), bob); err != nil {
		t.Fatal(err)
	}
	if got := claimed(t, c, bob); !slices.Equal(got, []schemas.MessageID{waits.ID}) {
		t.Errorf("it got %v, not %s once", got, waits.ID)
	}
}

func TestRemoveDevice(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	cs, err := c.StartConsumers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer cs.Close()
	phone := subject.Address{User: "bob", Device: addDevice(t, c, "bob").DeviceID}
	tablet := subject.Address{User: "bob", Device: addDevice(t, c, "bob").DeviceID}
	to, kept := &streamstest.Sender{T: t, Conn: c, From: "alice", To: phone}, &streamstest.Sender{T: t, Conn: c, From: "alice", To: tablet}
	e, k := to.Commit("1"), kept.Commit("1")
	recordSent(t, c, phone, 1, "one")
	recordSent(t, c, tablet, 1, "one")
	d := streamstest.Start(t, cs, phone, "")
	d.AwaitDrained(t)
	if ok, err := c.RemoveDevice(ctx, phone); err != nil || !ok {
		t.Fatalf("%t, %v", ok, err)
	}
	if reason := d.AwaitEnd(t); reason != inbox.EndRemoved {
		t.Errorf("the connection ended with %d", reason)
	}
	d.Ack(e.ID)
	d.Close(t)
	if to.Held(e.ID) || !kept.Held(k.ID) {
		t.Error("its inbox is still there, or another's is not")
	}
	if _, ok, err := c.SendLog().Last(ctx, phone); ok || err != nil {
		t.Errorf("its sends are still there: %v", err)
	}
	if _, ok, err := c.SendLog().Last(ctx, tablet); !ok || err != nil {
		t.Errorf("another's sends are gone: %v", err)
	}
	if _, ok := person(t, c, "bob").Device(phone.Device); ok {
		t.Error("the person still has it")
	}
	if ok, err := c.RemoveDevice(ctx, phone); err != nil || ok {
		t.Errorf("a second time: %t, %v", ok, err)
	}
}

// Who removes a device again whose removal was cut short behind the record deletes
// what is left of it.
func TestRemovalOfADeviceCutShort(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	phone := subject.Address{User: "bob", Device: addDevice(t, c, "bob").DeviceID}
	to := &streamstest.Sender{T: t, Conn: c, From: "alice", To: phone}
	e := to.Commit("1")
	recordSent(t, c, phone, 1, "one")
	if ok, err := c.Directory().Remove(ctx, phone, directory.Removal{}); err != nil || !ok { // and no more than that
		t.Fatalf("%t, %v", ok, err)
	}
	if ok, err := c.RemoveDevice(ctx, phone); err != nil || ok {
		t.Errorf("a second time: %t, %v", ok, err)
	}
	if to.Held(e.ID) {
		t.Error("its inbox is still there")
	}
	if _, ok, err := c.SendLog().Last(ctx, phone); ok || err != nil {
		t.Errorf("its sends are still there: %v", err)
	}
}
