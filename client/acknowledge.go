package client

import (
	"context"
	"fmt"

	"roost/schemas"
)

// acknowledge queues the acknowledgement for the server, and waits until the store has it.
// The order of the two does not matter, because the application has the message.
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
	c.wakeWriter()
	if err := c.save(); err != nil {
		return fmt.Errorf("failed to save an acknowledgement: %w", err)
	}
	return nil
}

// MarkRead marks a message, and all earlier ones of the chat, as read. The sender is the
// sender of the message; the group is empty in a 1:1 chat. The user's other devices receive
// a [Read]. The sender receives one too if both users have read receipts on. MarkRead
// returns after a connection has accepted the frame, or ctx ends. The server does not
// answer. If the connection breaks at that moment, the mark is lost, and the next MarkRead
// in the chat replaces it.
func (c *Client) MarkRead(ctx context.Context, group schemas.GroupID, sender schemas.UserID, id schemas.MessageID) error {
	return c.notify(ctx, &schemas.Read{MessageID: id, SenderID: sender, GroupID: group})
}

// SendTyping tells the other users of the chat that this user is typing. Call it at most
// every 3 s. It does nothing while there is no connection, because a late notice has no
// value.
func (c *Client) SendTyping(ctx context.Context, to schemas.Participant) error {
	c.mu.Lock()
	online := c.online
	c.mu.Unlock()
	if !online {
		return c.ended()
	}
	return c.notify(ctx, &schemas.TypingNotice{ReceiverID: to.User, GroupID: to.Group})
}

// SubscribePresence subscribes to the presence of these users, at most
// [schemas.MaxPresenceUsers]. It replaces the earlier subscription. Receive returns a
// [Presence] for each user, and one after each change. The subscription continues on later
// connections. If the server cannot read the presence, Receive returns a [ServerError] with
// the code unavailable: subscribe again.
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
	c.presence = subscription{users: append([]schemas.UserID{}, users...)}
	c.wakeWriter()
	return c.err
}

// notify passes a frame to the writer that the server does not answer.
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
