package client

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"roost/schemas"
)

// TestFullQueue: an application that does not call Receive loses no message.
func TestFullQueue(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.Queue = 3
		c, p := srv.connect(opts) // Connected is in it
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for n := 1; n <= 5; n++ { // the server cannot write the last ones
				_ = p.ws.Write(context.Background(), websocket.MessageText, schemas.EncodeFrame(incoming(n)))
			}
		}()
		synctest.Wait()
		// The client does not read, so the server drops the connection.
		_ = p.ws.CloseNow()
		<-sent
		event[Connected](t, c)
		for n := 1; n <= 2; n++ {
			m := event[Message](t, c)
			if m.MessageID != messageID(n) {
				t.Errorf("message %d: %+v", n, m)
			}
			ack(t, m)
		}
		// The reader had the third. The client queued it, or the server redelivers it.
		p = srv.next()
		hello := p.welcome(schemas.Welcome{})
		next := map[schemas.Cursor]int{cursor(2): 3, cursor(3): 4}[hello.ResumeAfter]
		var shown []schemas.MessageID
		go func() {
			for n := next; n <= 5; n++ {
				p.message(n)
			}
		}()
		for len(shown) < 3 {
			ev, err := c.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if m, ok := ev.(Message); ok {
				shown = append(shown, m.MessageID)
				ack(t, m)
			}
		}
		if expected := []schemas.MessageID{messageID(3), messageID(4), messageID(5)}; !slices.Equal(shown, expected) {
			t.Errorf("shown: %v", shown)
		}
		closeClient(t, c)
	})
}

// TestLeavingWithAFullQueue: if a connection ends while the queue is full, the reader drops the
// event that has no room and all later ones.
func TestLeavingWithAFullQueue(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.Queue = 2
		c, p := srv.connect(opts)
		p.send(&schemas.Reconnect{AfterMS: 1000})
		go func() {
			for n := 1; n <= 3; n++ {
				p.message(n)
			}
		}()
		time.Sleep(1500 * time.Millisecond)
		event[Connected](t, c)
		ack(t, event[Message](t, c))
		p = srv.next()
		if hello := p.welcome(schemas.Welcome{}); hello.ResumeAfter == "" {
			p.message(1) // the Ack came after the hello
		}
		event[Disconnected](t, c)
		event[Connected](t, c)
		for n := 2; n <= 3; n++ {
			p.message(n)
			if m := event[Message](t, c); m.MessageID != messageID(n) {
				t.Errorf("shown: %+v", m)
			}
		}
		closeClient(t, c)
	})
}

// TestNothingOvertakesADroppedEvent: after the reader dropped an event, it queues no later one,
// even if there is room again.
func TestNothingOvertakesADroppedEvent(t *testing.T) {
	c := &Client{events: make(chan Event, 1), inbox: newInbox(State{}), wake: make(chan struct{}, 1)}
	k := &connection{c: c, leave: make(chan struct{})}
	close(k.leave)
	k.handle(t.Context(), incoming(1))
	k.handle(t.Context(), incoming(2))
	m := (<-c.events).(Message)
	k.handle(t.Context(), incoming(3))
	if len(c.events) != 0 {
		t.Error("the third message overtook the second")
	}
	c.inbox.acknowledge(m.delivery)
	if resume := c.inbox.resume(); resume != cursor(1) {
		t.Errorf("resume_after: %q", resume)
	}
}

func TestInboxEvictsTheOldest(t *testing.T) {
	b := newInbox(State{})
	arrive := func(n int) (*delivery, bool) {
		f := incoming(n)
		d := &delivery{cursor: f.Cursor, seen: Seen{f.MessageID, f.SenderDeviceID, f.MessageIDByClient}}
		return d, b.arrive(d)
	}
	for n := 1; n <= seenLimit+1; n++ {
		d, fresh := arrive(n)
		if !fresh || !b.acknowledge(d) {
			t.Fatalf("message %d counts as a redelivery", n)
		}
	}
	if len(b.known) != 2*seenLimit || len(b.open) != 0 || len(b.recentlySeen()) != seenLimit {
		t.Errorf("the inbox knows %d names, %d open, %d past", len(b.known), len(b.open), len(b.past))
	}
	if _, fresh := arrive(2); fresh {
		t.Error("message 2 was evicted too early")
	}
	if _, fresh := arrive(1); !fresh {
		t.Error("message 1 was not evicted")
	}
}
