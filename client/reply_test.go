package client

import (
	"errors"
	"fmt"
	"testing"

	"roost/schemas"
)

// TestReply: a reply goes to the chat of the message, and names the message.
func TestReply(t *testing.T) {
	const group = schemas.GroupID("g-01JD000000000000000000000A")
	for name, test := range map[string]struct {
		message  schemas.Message
		to       schemas.Participant
		answered schemas.MessageID
	}{
		"of a user":         {schemas.Message{SenderID: bob, ReceiverID: alice}, schemas.Participant{User: bob}, messageID(1)},
		"of a group":        {schemas.Message{SenderID: bob, GroupID: group}, schemas.Participant{Group: group}, messageID(1)},
		"of another device": {schemas.Message{SenderID: alice, ReceiverID: bob}, schemas.Participant{User: bob}, messageID(1)},
		"to oneself":        {schemas.Message{SenderID: alice, ReceiverID: alice}, schemas.Participant{User: alice}, messageID(1)},
		"of an update": {schemas.Message{SenderID: bob, ReceiverID: alice, Change: schemas.ChangeEdit, TargetMessageID: messageID(7)},
			schemas.Participant{User: bob}, messageID(7)},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, srv *script) {
				c, p := srv.connect(srv.options())
				m := Message{Message: test.message, client: c}
				m.MessageID = messageID(1)
				done := make(chan error, 1)
				go func() {
					_, err := m.Reply(t.Context(), "answer")
					done <- err
				}()
				f := want[*schemas.SendMessage](p)
				if to := (schemas.Participant{User: f.ReceiverID, Group: f.GroupID}); to != test.to || f.ReplyTo != test.answered || f.Content != "answer" {
					t.Errorf("got %+v", f)
				}
				p.received(f)
				if err := <-done; err != nil {
					t.Error(err)
				}
				closeClient(t, c)
			})
		})
	}
	if _, err := (Message{}).Reply(t.Context(), "x"); !errors.Is(err, errNoClient) {
		t.Errorf("a message that no client received: %v", err)
	}
}

func TestCode(t *testing.T) {
	refused := schemas.Errorf(schemas.CodeInboxFull, "No.")
	for _, test := range []struct {
		err  error
		want schemas.Code
	}{
		{nil, ""}, {ErrClosed, ""}, {&CloseError{Code: 4001}, ""}, {refused, schemas.CodeInboxFull}, {fmt.Errorf("not sent: %w", refused), schemas.CodeInboxFull},
		{&UnknownOutcomeError{Err: refused}, schemas.CodeInboxFull},
	} {
		if got := Code(test.err); got != test.want {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
}
