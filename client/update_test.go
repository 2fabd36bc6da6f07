package client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"roost/schemas"
)

// updateLater sends an update to the chat with bob in another goroutine.
func updateLater(c *Client, update func(context.Context, schemas.Participant) (schemas.MessageReceived, error)) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		r, err := update(context.Background(), schemas.Participant{User: bob})
		done <- outcome{r, err}
	}()
	return done
}

func TestEditDeleteReact(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		for n, test := range []struct {
			update func(context.Context, schemas.Participant) (schemas.MessageReceived, error)
			want   schemas.UpdateMessage
		}{
			{func(ctx context.Context, to schemas.Participant) (schemas.MessageReceived, error) {
				return c.Edit(ctx, to, messageID(1), "better")
			}, schemas.UpdateMessage{Change: schemas.ChangeEdit, Content: "better"}},
			{func(ctx context.Context, to schemas.Participant) (schemas.MessageReceived, error) {
				return c.Delete(ctx, to, messageID(1))
			}, schemas.UpdateMessage{Change: schemas.ChangeDelete}},
			{func(ctx context.Context, to schemas.Participant) (schemas.MessageReceived, error) {
				return c.React(ctx, to, messageID(1), "👍")
			}, schemas.UpdateMessage{Change: schemas.ChangeReaction, Content: "👍"}},
			{func(ctx context.Context, to schemas.Participant) (schemas.MessageReceived, error) {
				return c.React(ctx, to, messageID(1), "")
			}, schemas.UpdateMessage{Change: schemas.ChangeReaction}},
		} {
			done := updateLater(c, test.update)
			f := want[*schemas.UpdateMessage](p)
			test.want.ReceiverID, test.want.TargetMessageID, test.want.Timestamp = bob, messageID(1), schemas.Now()
			test.want.MessageIDByClient = schemas.ClientMessageID(n + 1)
			if *f != test.want {
				t.Errorf("update_message: %+v, instead of %+v", f, test.want)
			}
			p.received(f)
			if o := <-done; o.err != nil || o.received.MessageID != messageID(1001+n) {
				t.Errorf("%s: %+v", f.Change, o)
			}
		}
		closeClient(t, c)
	})
}

func TestUpdateRefused(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		code := func(err error) schemas.Code {
			var refused *schemas.Error
			if !errors.As(err, &refused) {
				t.Fatalf("%v is not a schemas.Error", err)
			}
			return refused.Code
		}
		for _, refusal := range []schemas.Code{schemas.CodeForbidden, schemas.CodeTooLate, schemas.CodeNotAMember} {
			done := updateLater(c, func(ctx context.Context, to schemas.Participant) (schemas.MessageReceived, error) {
				return c.Delete(ctx, to, messageID(1))
			})
			f := want[*schemas.UpdateMessage](p)
			p.send(&schemas.ErrorFrame{Code: refusal, Message: "No.", MessageIDByClient: f.MessageIDByClient})
			if o := <-done; code(o.err) != refusal {
				t.Errorf("%s: %v", refusal, o.err)
			}
		}
		// The client does not send a malformed update.
		to := schemas.Participant{User: bob}
		_, noTarget := c.Delete(t.Context(), to, "")
		_, noText := c.Edit(t.Context(), to, messageID(1), "")
		_, tooLong := c.React(t.Context(), to, messageID(1), strings.Repeat("ä", schemas.MaxReactionRunes+1))
		_, noUTF8 := c.React(t.Context(), to, messageID(1), "\xff")
		for _, err := range []error{noTarget, noText, tooLong, noUTF8} {
			if code(err) != schemas.CodeInvalidArgument {
				t.Errorf("%v", err)
			}
		}
		if left := c.Outstanding(); len(left) != 0 {
			t.Errorf("Outstanding: %+v", left)
		}
		p.quiet()
		closeClient(t, c)
	})
}

// TestLongestUpdateFits: the longest update in its longest encoding fits into a frame.
func TestLongestUpdateFits(t *testing.T) {
	s := newSend(Outgoing{ReceiverID: schemas.UserID(strings.Repeat("x", 128)), Change: schemas.ChangeReaction,
		Content: strings.Repeat("\x01", schemas.MaxContentRunes), MessageIDByClient: 1 << 62,
		Timestamp: 1 << 62, TargetMessageID: messageID(1)})
	if len(s.encoded) > schemas.MaxFrameBytes {
		t.Errorf("the frame has %d bytes", len(s.encoded))
	}
}

// TestUpdateSurvivesConnectionAndProcess: the next connection and the next client retry an update,
// in its order among the messages.
func TestUpdateSurvivesConnectionAndProcess(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		opts := srv.options()
		opts.Store = FileStore(t.TempDir() + "/state.json")
		c, p := srv.connect(opts)
		sent := sendLater(c, t.Context(), "on")
		want[*schemas.SendMessage](p)
		edited := updateLater(c, func(ctx context.Context, to schemas.Participant) (schemas.MessageReceived, error) {
			return c.Edit(ctx, to, messageID(1), "better")
		})
		first := *want[*schemas.UpdateMessage](p)
		p.close(1011)
		p = srv.next()
		p.welcome(schemas.Welcome{})
		want[*schemas.SendMessage](p)
		if again := want[*schemas.UpdateMessage](p); *again != first {
			t.Errorf("again: %+v, at first: %+v", again, first)
		}
		closeClient(t, c)
		<-sent
		if _, unknown := isUnknown((<-edited).err); !unknown {
			t.Error("the outcome of the update is not unknown")
		}

		c, p = srv.connect(opts)
		p.received(want[*schemas.SendMessage](p))
		again := want[*schemas.UpdateMessage](p)
		if *again != first {
			t.Errorf("by the next client: %+v, at first: %+v", again, first)
		}
		restored := c.Restored()
		if len(restored) != 2 || restored[1].Change != schemas.ChangeEdit || restored[1].TargetMessageID != messageID(1) {
			t.Errorf("Restored: %+v", restored)
		}
		p.received(again)
		if r, err := c.Resend(t.Context(), first.MessageIDByClient); err != nil || r.MessageID != messageID(1002) {
			t.Errorf("Resend: %+v, %v", r, err)
		}
		closeClient(t, c)
	})
}

// TestMessageUpdateIsAcknowledged: an update is an entry of the inbox and needs an Ack.
func TestMessageUpdateIsAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)
		update := &schemas.MessageUpdate{Incoming: *incoming(2)}
		update.Change, update.TargetMessageID = schemas.ChangeEdit, messageID(1)
		p.message(1)
		p.send(update)
		m, u := event[Message](t, c), event[MessageUpdate](t, c)
		if u.Message.Message != update.Message {
			t.Errorf("MessageUpdate: %+v", u)
		}
		p.quiet() // the client acknowledges nothing by itself
		other := *update
		other.MessageID, other.Cursor = messageID(9), cursor(9) // the server accepted it twice, under another id
		p.send(update)
		p.send(&other)
		noEvent(t, c)
		ack(t, u.Message)
		for _, id := range []schemas.MessageID{messageID(2), messageID(9)} {
			if f := want[*schemas.DeliveredAck](p); f.MessageID != id {
				t.Errorf("message_delivered: %+v, instead of %s", f, id)
			}
		}
		p.send(update) // after its Ack: acknowledged at once
		want[*schemas.DeliveredAck](p)
		noEvent(t, c)
		ack(t, m)
		want[*schemas.DeliveredAck](p)
		p.close(1011)
		p = srv.next()
		if hello := p.welcome(schemas.Welcome{}); hello.ResumeAfter != cursor(2) {
			t.Errorf("resume_after is %s, want %s", hello.ResumeAfter, cursor(2))
		}
		closeClient(t, c)
	})
}

func TestUserDeletedIsAnEntry(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)
		deleted := &schemas.UserDeleted{UserDeletion: schemas.UserDeletion{MessageID: messageID(1), UserID: bob, Timestamp: 1}, Cursor: cursor(1)}
		p.send(deleted)
		synctest.Wait()
		p.quiet() // not before Receive returns it
		if ev := event[UserDeleted](t, c); ev.UserDeletion != deleted.UserDeletion {
			t.Errorf("UserDeleted: %+v", ev)
		}
		for range 2 {
			if f := want[*schemas.DeliveredAck](p); f.MessageID != messageID(1) {
				t.Errorf("acknowledged: %+v", f)
			}
			p.send(deleted) // the client acknowledges a redelivery again
		}
		noEvent(t, c)
		closeClient(t, c)
	})
}

func TestChatUpdateIsAnEntry(t *testing.T) {
	bubble(t, func(t *testing.T, srv *script) {
		c, p := srv.connect(srv.options())
		event[Connected](t, c)
		update := &schemas.ChatUpdate{ChatChange: schemas.ChatChange{MessageID: messageID(1), ByUserID: bob, UserID: alice,
			DisappearingDays: 7, Timestamp: 1}, Cursor: cursor(1)}
		p.send(update)
		synctest.Wait()
		p.quiet() // not before Receive returns it
		if ev := event[ChatUpdate](t, c); ev.ChatChange != update.ChatChange {
			t.Errorf("ChatUpdate: %+v", ev)
		}
		for range 2 {
			if f := want[*schemas.DeliveredAck](p); f.MessageID != messageID(1) {
				t.Errorf("acknowledged: %+v", f)
			}
			p.send(update) // the client acknowledges a redelivery again
		}
		noEvent(t, c)
		closeClient(t, c)
	})
}
