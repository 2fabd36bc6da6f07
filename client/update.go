package client

import (
	"context"

	"roost/schemas"
)

// Edit replaces the content of a message that the user sent to a user or group, within
// [schemas.EditTime]. An update is a send: see [Client.Send] for its number, retries and
// errors. The code is forbidden for a message of another user, and too_late after the time.
func (c *Client) Edit(ctx context.Context, to schemas.Participant, id schemas.MessageID, content string) (schemas.MessageReceived, error) {
	return c.update(ctx, to, schemas.ChangeEdit, id, content)
}

// Delete removes the content of a message that the user sent to a user or group, for
// everyone, within [schemas.DeleteTime]. It is a send, with the codes of Edit.
func (c *Client) Delete(ctx context.Context, to schemas.Participant, id schemas.MessageID) (schemas.MessageReceived, error) {
	return c.update(ctx, to, schemas.ChangeDelete, id, "")
}

// React sets the user's reaction to a message of the chat with a user or group. It replaces
// the earlier reaction; an empty one removes it. It is a send.
func (c *Client) React(ctx context.Context, to schemas.Participant, id schemas.MessageID, reaction string) (schemas.MessageReceived, error) {
	return c.update(ctx, to, schemas.ChangeReaction, id, reaction)
}

func (c *Client) update(ctx context.Context, to schemas.Participant, change schemas.MessageChange, id schemas.MessageID, content string) (schemas.MessageReceived, error) {
	return c.send(ctx, Outgoing{ReceiverID: to.User, GroupID: to.Group, Content: content, Change: change, TargetMessageID: id})
}
