package client

import (
	"context"
	"errors"

	"roost/schemas"
)

// errNoClient refuses a reply to a message that the application made itself.
var errNoClient = errors.New("client: the message did not come from Receive")

// Peer is the chat that the message is of, as this user names it: its group, or the other
// user, also where this user sent it from another device. What is sent to it goes where
// the message came from.
func (m Message) Peer() schemas.Participant {
	if m.GroupID != "" {
		return schemas.Participant{Group: m.GroupID}
	}
	if m.client != nil && m.SenderID == m.client.Welcome().UserID {
		return schemas.Participant{User: m.ReceiverID}
	}
	return schemas.Participant{User: m.SenderID}
}

// Reply answers the message, or the message that an update is of, in the chat that it
// came from. It is a send: see [Client.Send] for what it waits for, and its errors. As
// with Send, another goroutine has to Receive meanwhile.
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
