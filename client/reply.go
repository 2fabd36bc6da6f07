package client

import (
	"context"
	"errors"

	"roost/schemas"
)

// errNoClient refuses a reply to a message that did not come from a client.
var errNoClient = errors.New("client: the message did not come from Receive")

// Peer returns the chat of the message, as a receiver for Send: the group, or the other user
// of the 1:1 chat. If this user sent the message from another device, that is its receiver.
func (m Message) Peer() schemas.Participant {
	if m.GroupID != "" {
		return schemas.Participant{Group: m.GroupID}
	}
	if m.client != nil && m.SenderID == m.client.Welcome().UserID {
		return schemas.Participant{User: m.ReceiverID}
	}
	return schemas.Participant{User: m.SenderID}
}

// Reply answers a message, or the target of an update, in its chat. It is a send: see
// [Client.Send] for its result and errors. Another goroutine must call Receive meanwhile.
func (m Message) Reply(ctx context.Context, content string) (schemas.MessageReceived, error) {
	if m.client == nil {
		return schemas.MessageReceived{}, errNoClient
	}
	to := m.MessageID
	if m.IsUpdate() {
		to = m.TargetMessageID
	}
	return m.client.Send(ctx, m.Peer(), content, &SendOptions{ReplyTo: to})
}
