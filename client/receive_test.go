package client

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"roost/schemas"
)

func TestReceiveAndAck(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)
		for n := 1; n <= 3; n++ {
			p.message(n)
		}
		p.send(&schemas.InboxDrained{Cursor: cursor(3)})
		var got [4]Message
		for n := 1; n <= 3; n++ {
			got[n] = event[Message](t, c)
			if got[n].Message != incoming(n).Message {
				t.Errorf("message %d: %+v", n, got[n].Message)
			}
		}
		event[Drained](t, c)
		p.quiet() // the client acknowledges nothing by itself
		for _, n := range []int{2, 1, 3} {
			ack(t, got[n])
			ack(t, got[n]) // the second Ack does nothing
			if f := want[*schemas.DeliveredAck](p); f.MessageID != messageID(n) || f.Timestamp != schemas.Now() {
				t.Errorf("message_delivered: %+v", f)
			}
		}
		p.quiet()
		closeClient(t, c)
		if err := got[1].Ack(); err != nil {
			t.Errorf("a second Ack: %v", err)
		}
	})
}

func TestManyAcksBecomeOne(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)
		const n = 40
		for i := 1; i <= n; i++ {
			p.message(i)
		}
		synctest.Wait()
		var messages []Message
		for range n {
			messages = append(messages, event[Message](t, c))
		}
		c.mu.Lock() // the writer collects all of them at once
		for i, m := range messages {
			if i != 30 { // one stays unacknowledged
				c.inbox.acknowledge(m.delivery)
			}
		}
		c.mu.Unlock()
		c.wakeWriter()
		for i := 32; i <= n; i++ {
			if f := want[*schemas.DeliveredAck](p); f.MessageID != messageID(i) {
				t.Errorf("message_delivered: %+v, instead of %d", f, i)
			}
		}
		if f := want[*schemas.Ack](p); f.Cursor != cursor(30) {
			t.Errorf("ack: %+v", f)
		}
		ack(t, messages[30])
		want[*schemas.DeliveredAck](p)
		p.close(1011)
		if hello := srv.next().welcome(schemas.Welcome{}); hello.ResumeAfter != cursor(n) {
			t.Errorf("resume_after: %q", hello.ResumeAfter)
		}
		closeClient(t, c)
	})
}

// TestResumeAfterIsAPrefix: resume_after is before each message without Ack, also one of an
// earlier connection.
func TestResumeAfterIsAPrefix(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		store := new(MemoryStore)
		opts := srv.options()
		opts.Store = store
		c, p := srv.connect(opts)
		resumed := func(expected schemas.Cursor) {
			t.Helper()
			p.close(1011)
			p = srv.next()
			if hello := p.welcome(schemas.Welcome{}); hello.ResumeAfter != expected {
				t.Errorf("resume_after: %q, instead of %q", hello.ResumeAfter, expected)
			}
			event[Disconnected](t, c)
			event[Connected](t, c)
		}
		event[Connected](t, c)
		var got [6]Message
		for n := 1; n <= 4; n++ {
			p.message(n)
			got[n] = event[Message](t, c)
		}
		resumed("")
		ack(t, got[1])
		ack(t, got[3])
		resumed(cursor(1))

		// The server redelivers 2, 3 and 4. The client acknowledges 3 again and shows none.
		for n := 2; n <= 4; n++ {
			p.message(n)
		}
		p.message(5)
		got[5] = event[Message](t, c)
		if f := want[*schemas.DeliveredAck](p); f.MessageID != messageID(3) {
			t.Errorf("message_delivered: %+v", f)
		}
		ack(t, got[5])
		ack(t, got[4])
		resumed(cursor(1))
		ack(t, got[2]) // shown by the first connection
		resumed(cursor(5))
		closeClient(t, c)
		if state, _ := store.Load(); state.Cursor != cursor(5) || len(state.Seen) != 5 {
			t.Errorf("stored: %+v", state)
		}
	})
}

func TestRedeliveriesAreNotShown(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		store := new(MemoryStore)
		opts := srv.options()
		opts.Store = store
		c, p := srv.connect(opts)
		event[Connected](t, c)
		p.message(1)
		m := event[Message](t, c)
		p.message(1) // before its Ack: acknowledged with it
		other := incoming(1)
		other.MessageID, other.Cursor = messageID(9), cursor(9) // the server accepted it twice, under another id
		p.send(other)
		p.quiet()
		ack(t, m)
		for _, id := range []schemas.MessageID{messageID(1), messageID(9)} {
			if f := want[*schemas.DeliveredAck](p); f.MessageID != id {
				t.Errorf("message_delivered: %+v, instead of %s", f, id)
			}
		}
		p.message(1) // after its Ack: acknowledged at once
		p.send(other)
		for _, id := range []schemas.MessageID{messageID(1), messageID(9)} {
			if f := want[*schemas.DeliveredAck](p); f.MessageID != id {
				t.Errorf("message_delivered: %+v, instead of %s", f, id)
			}
		}
		noEvent(t, c)

		// Equal numbers of different devices, and messages without a number, are different messages.
		third := incoming(2)
		third.SenderDeviceID, third.MessageIDByClient = phone, 1
		p.send(third)
		ack(t, event[Message](t, c))
		for n := 3; n <= 4; n++ {
			plain := incoming(n)
			plain.SenderDeviceID, plain.MessageIDByClient = "", 0
			p.send(plain)
			ack(t, event[Message](t, c))
		}
		closeClient(t, c)

		// Another process recognises them too.
		c, p = srv.connect(opts)
		event[Connected](t, c)
		p.message(1)
		want[*schemas.DeliveredAck](p)
		p.message(5)
		if m := event[Message](t, c); m.MessageID != messageID(5) {
			t.Errorf("shown: %+v", m)
		}
		closeClient(t, c)
	})
}

func TestCloseWritesAcks(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)
		p.message(1)
		m := event[Message](t, c)
		p.message(2)
		event[Message](t, c)
		ack(t, m)
		closeClient(t, c)
		want[*schemas.DeliveredAck](p)
		var closed *CloseError
		if err := closeError(<-p.ended); !errors.As(err, &closed) || closed.Code != 1000 {
			t.Errorf("the connection ended with %v", err)
		}
	})
}

func TestOtherEvents(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)
		p.send(&schemas.Receipts{Items: []schemas.ReceiptItem{{Chat: "bob", UserID: bob, ReadUpTo: messageID(1)}}})
		p.send(&schemas.Delivered{MessageID: messageID(1), UserID: bob, Timestamp: 1})
		p.send(&schemas.ReadBy{MessageID: messageID(1), UserID: bob, Timestamp: 2})
		p.send(&schemas.Presence{UserID: bob, Online: true})
		p.send(&schemas.Typing{UserID: bob})
		if ev := event[Receipts](t, c); len(ev.Items) != 1 || ev.Items[0].ReadUpTo != messageID(1) {
			t.Errorf("Receipts: %+v", ev)
		}
		if ev := event[Delivered](t, c); ev.MessageID != messageID(1) || ev.UserID != bob {
			t.Errorf("Delivered: %+v", ev)
		}
		if ev := event[Read](t, c); ev.UserID != bob {
			t.Errorf("Read: %+v", ev)
		}
		if ev := event[Presence](t, c); !ev.Online {
			t.Errorf("Presence: %+v", ev)
		}
		if ev := event[Typing](t, c); ev.UserID != bob {
			t.Errorf("Typing: %+v", ev)
		}
		closeClient(t, c)
	})
}

func TestGroupUpdateIsAnEntry(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)
		update := &schemas.GroupUpdate{GroupChange: schemas.GroupChange{MessageID: messageID(2), GroupID: "g-01JD000000000000000000000A",
			Change: schemas.GroupRenamed, ByUserID: bob, GroupName: "friends"}, Cursor: cursor(2)}
		p.message(1)
		p.send(update)
		m := event[Message](t, c)
		if ev := event[GroupUpdate](t, c); ev.Change != "renamed" {
			t.Errorf("GroupUpdate: %+v", ev)
		}
		if f := want[*schemas.DeliveredAck](p); f.MessageID != messageID(2) {
			t.Errorf("acknowledged: %+v", f)
		}
		p.send(update)
		if f := want[*schemas.DeliveredAck](p); f.MessageID != messageID(2) {
			t.Errorf("the acknowledgement of a redelivery: %+v", f)
		}
		noEvent(t, c)
		ack(t, m)
		if f := want[*schemas.DeliveredAck](p); f.MessageID != messageID(1) {
			t.Errorf("acknowledged: %+v", f)
		}
		p.close(1011)
		event[Disconnected](t, c)
		p = srv.next()
		if hello := p.welcome(schemas.Welcome{}); hello.ResumeAfter != cursor(2) {
			t.Errorf("resume_after is %s, want %s", hello.ResumeAfter, cursor(2))
		}
		closeClient(t, c)
	})
}

func TestNotices(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)
		if err := c.MarkRead(t.Context(), "", bob, messageID(1)); err != nil {
			t.Error(err)
		}
		if f := want[*schemas.Read](p); f.MessageID != messageID(1) || f.SenderID != bob {
			t.Errorf("message_read: %+v", f)
		}
		if err := c.MarkRead(t.Context(), "", bob, "nonsense"); err == nil {
			t.Error("MarkRead accepted a malformed id")
		}
		if err := c.SendTyping(t.Context(), schemas.Participant{User: bob}); err != nil {
			t.Error(err)
		}
		if f := want[*schemas.TypingNotice](p); f.ReceiverID != bob {
			t.Errorf("typing: %+v", f)
		}
		if err := c.SubscribePresence([]schemas.UserID{bob}); err != nil {
			t.Error(err)
		}
		if f := want[*schemas.PresenceSubscribe](p); !slices.Equal(f.UserIDs, []schemas.UserID{bob}) {
			t.Errorf("presence_subscribe: %+v", f)
		}
		if err := c.SubscribePresence(make([]schemas.UserID, schemas.MaxPresenceUsers+1)); err == nil {
			t.Error("SubscribePresence accepted too many")
		}

		p.close(1011)
		event[Disconnected](t, c)
		if err := c.SendTyping(t.Context(), schemas.Participant{User: bob}); err != nil {
			t.Error(err)
		}
		read := make(chan error)
		go func() { read <- c.MarkRead(t.Context(), "", bob, messageID(2)) }()
		p = srv.next()
		p.welcome(schemas.Welcome{})
		if f := want[*schemas.PresenceSubscribe](p); len(f.UserIDs) != 1 {
			t.Errorf("presence_subscribe: %+v", f)
		}
		if f := want[*schemas.Read](p); f.MessageID != messageID(2) {
			t.Errorf("message_read: %+v", f)
		}
		if err := <-read; err != nil {
			t.Error(err)
		}
		closeClient(t, c)
	})
}

func TestHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)
		time.Sleep(10 * time.Minute)
		if n := p.beats.Load(); n < 20 || n > 30 {
			t.Errorf("%d heartbeats in ten minutes, one is due every 30 s", n)
		}
		noEvent(t, c) // the connection stayed open
		closeClient(t, c)
	})
}
