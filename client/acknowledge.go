package client

import (
	"context"
	"fmt"

	"roost/schemas"
)

// acknowledge is Ack: the server is told, the store is told, and the second one
// is waited for. Their order is free, since the application has the message.
func (c *Client) acknowledge(d *delivery) error {
	c.mu.Lock()
	if c.err != nil && !d.acked {
		defer c.mu.Unlock()
		return fmt.Errorf("failed to acknowledge: %w", c.err)
	}
	if c.inbox.acknowledge(d) {
		c.version++
	}
	c.mu.Unlock()
	c.rouse()
	if err := c.save(); err != nil {
		return fmt.Errorf("failed to save an acknowledgement: %w", err)
	}
	return nil
}

// MarkRead says that the person has read the message that sender wrote in group, or
// in their chat of two where group is empty, and all before it there. The sender hears
// of it where both have read receipts on, the user's other devices do in any case: see
// [Read]. It returns when a connection has taken it, or ctx ends. The server does not
// answer; should the connection break at that moment, the next MarkRead in the chat
// makes up for it.
func (c *Client) MarkRead(ctx context.Context, group schemas.GroupID, sender schemas.UserID, id schemas.MessageID) error {
	return c.notify(ctx, &schemas.Read{MessageID: id, SenderID: sender, GroupID: group})
}

// SendTyping says that the person types; more often than every 3 s is no use. That
// is worth nothing a moment later: without a connection it does nothing.
func (c *Client) SendTyping(ctx context.Context, to schemas.Participant) error {
	c.mu.Lock()
	online := c.online
	c.mu.Unlock()
	if !online {
		return c.ended()
	}
	return c.notify(ctx, &schemas.TypingNotice{ReceiverID: to.User, GroupID: to.Group})
}

// SubscribePresence asks for the presence of these users, at most
// [schemas.MaxPresenceUsers], instead of any asked for before. Each
// is answered by a [Presence]; so is each change. It lasts across connections. Where
// the server cannot look them up there is a [ServerError] with the code unavailable:
// ask again.
func (c *Client) SubscribePresence(users []schemas.UserID) error {
	if users == nil {
		users = []schemas.UserID{}
	}
	frame := &schemas.PresenceSubscribe{UserIDs: users}
	if _, _, e := schemas.DecodeClientFrame(schemas.EncodeFrame(frame)); e != nil {
		return e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := presenceFrames(users, c.limit); err != nil {
		return err
	}
	c.wanted = presenceWish{users: append([]schemas.UserID{}, users...)}
	c.rouse()
	return c.err
}

// notify hands a frame that nobody answers to the writer.
func (c *Client) notify(ctx context.Context, frame schemas.ClientFrame) error {
	data := schemas.EncodeFrame(frame)
	if _, _, e := schemas.DecodeClientFrame(data); e != nil {
		return e
	}
	c.mu.Lock()
	limit := c.limit
	c.mu.Unlock()
	if len(data) > limit {
		return tooLarge(len(data), limit)
	}
	select {
	case c.notices <- data:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return c.ended()
	}
}
