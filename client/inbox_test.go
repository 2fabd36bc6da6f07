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

// An application that does not Receive loses nothing.
func TestFullQueue(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.Queue = 3
		c, p := srv.connect(opts) // Connected is the first
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for n := 1; n <= 5; n++ { // the last ones do not get through
				_ = p.ws.Write(context.Background(), websocket.MessageText, schemas.EncodeFrame(incoming(n)))
			}
		}()
		synctest.Wait()
		// Nothing is read; the server gives up, in the only way left to it.
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
		// The third was in the reader's hand. It was shown or it comes again.
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

// A connection that is left while the queue is full drops what it could not
// show, and everything behind it.
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
			p.message(1) // the Ack was later than the hello
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

// What had no room is behind what comes after it, even if room is made.
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

func TestInboxForgetsTheOldest(t *testing.T) {
	b := newInbox(State{})
	arrive := func(n int) (*delivery, bool) {
		f := incoming(n)
		d := &delivery{cursor: f.Cursor, seen: Seen{f.MessageID, f.SenderDeviceID, f.MessageIDByClient}}
		return d, b.arrive(d)
	}
	for n := 1; n <= seenLimit+1; n++ {
		d, fresh := arrive(n)
		if !fresh || !b.acknowledge(d) {
			t.Fatalf("message %d is no news", n)
		}
	}
	if len(b.known) != 2*seenLimit || len(b.open) != 0 || len(b.seenLately()) != seenLimit {
		t.Errorf("the inbox knows %d names, %d open, %d past", len(b.known), len(b.open), len(b.past))
	}
	if _, fresh := arrive(2); fresh {
		t.Error("message 2 was forgotten too early")
	}
	if _, fresh := arrive(1); !fresh {
		t.Error("message 1 was not forgotten")
	}
}
