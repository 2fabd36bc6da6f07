package streams_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
)

type sink struct{ ch chan string }

func (s sink) Deliver(e []byte, c schemas.Cursor) { s.ch <- string(schemas.AppendCursor(nil, e, c)) }
func (s sink) Drained(c schemas.Cursor)           { s.ch <- "drained " + string(c) }
func (s sink) Frame(f []byte)                     { s.ch <- "frame " + string(f) }
func (s sink) End(r streams.EndReason)            { s.ch <- fmt.Sprint("end ", r) }

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	s := streamstest.Server(t, t.TempDir())
	c := streamstest.Connect(t, s, streams.Topology{})
	cs, err := c.StartConsumers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer cs.Close()
	bob := streams.Address{User: "bob", Device: schemas.DeviceID(c.Clock().NextULID())}
	alice := streams.Address{User: "alice", Device: schemas.DeviceID(c.Clock().NextULID())}
	send := func(i int) {
		m := &schemas.Message{MessageID: c.Clock().Next(), SenderID: "alice", ReceiverID: "bob", Content: fmt.Sprint("hi", i), Timestamp: schemas.Now(), SenderDeviceID: alice.Device, MessageIDByClient: schemas.ClientMessageID(i)}
		done := make(chan error, 2)
		var seqs []uint64
		entry := m.StoredMessage()
		if err := c.CommitCopies(streams.Copies{Message: m, Entry: entry, To: []streams.Address{bob}, Log: true, Keep: true}, func(s []uint64, err error) { seqs = s; done <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		c.PublishEntry(bob, seqs[0], entry)
	}
	send(1)
	send(2)
	sk := sink{make(chan string, 1000)}
	in, err := cs.Open(ctx, bob, "S1", "", sk)
	if err != nil {
		t.Fatal(err)
	}
	in.Start()
	for range 3 {
		t.Log(<-sk.ch)
	}
	send(3)
	t.Log(<-sk.ch)
	start := time.Now()
	in.Close(ctx)
	t.Log("close", time.Since(start))
}
