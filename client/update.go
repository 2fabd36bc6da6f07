package client

import (
	"context"

	"roost/schemas"
)

// Edit replaces the content of a message that the user sent to a user or group, within
// [schemas.EditTime]. The change is a send like any other: see [Client.Send] for its
// number, what is tried again, and errors. The code is forbidden for a message of
// somebody else, and too_late when the time is over.
func (c *Client) Edit(ctx context.Context, to schemas.Participant, id schemas.MessageID, content string) (schemas.MessageReceived, error) {
	return c.update(ctx, to, schemas.ChangeEdit, id, content)
}

// Delete removes the content of a message that the user sent to a user or group, for
// everyone, within [schemas.DeleteTime]. It is a send, with the codes of Edit.
func (c *Client) Delete(ctx context.Context, to schemas.Participant, id schemas.MessageID) (schemas.MessageReceived, error) {
	return c.update(ctx, to, schemas.ChangeDelete, id, "")
}

// React makes reaction the user's reaction to a message of the chat with a user or
// group, in place of the one before; an empty one takes that back. It is a send.
func (c *Client) React(ctx context.Context, to schemas.Participant, id schemas.MessageID, reaction string) (schemas.MessageReceived, error) {
	return c.update(ctx, to, schemas.ChangeReaction, id, reaction)
}

func (c *Client) update(ctx context.Context, to schemas.Participant, change schemas.MessageChange, id schemas.MessageID, content string) (schemas.MessageReceived, error) {
	return c.send(ctx, Outgoing{ReceiverID: to.User, GroupID: to.Group, Content: content, Change: change, TargetMessageID: id})
}
