package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roost/schemas"
)

// read handles what the server sends until the connection ends.
func (k *connection) read(ctx context.Context) error {
	for {
		_, data, err := k.ws.Read(ctx)
		if err != nil {
			return closeError(err)
		}
		k.heard.Add(1)
		frame, err := k.c.decode(data)
		if err != nil {
			return err
		}
		k.handle(ctx, frame)
	}
}

// decode gives nil for a type of frame that is for newer clients. One that
// makes no sense ends the connection: to skip a message would be to acknowledge
// it with the next cursor.
func (c *Client) decode(data []byte) (schemas.ServerFrame, error) {
	frame, err := schemas.DecodeServerFrame(data)
	var known *schemas.Error
	switch {
	case errors.As(err, &known) && known.Code == schemas.CodeUnknownType:
		c.log.Debug("skipped a frame of the server", "error", err)
		return nil, nil
	case err != nil:
		// Not wrapped: its code is no refusal of the server.
		return nil, fmt.Errorf("the server sent a frame that makes no sense: %v", err)
	}
	return frame, nil
}

func (k *connection) handle(ctx context.Context, frame schemas.ServerFrame) {
	switch f := frame.(type) {
	case *schemas.MessageReceived:
		k.c.received(*f)
	case *schemas.ErrorFrame:
		if f.MessageIDByClient != 0 {
			k.c.refused(f)
			return
		}
		k.show(ctx, ServerError{frameError(f)})
	case *schemas.Incoming:
		d := &delivery{cursor: f.Cursor, seen: Seen{f.MessageID, f.SenderDeviceID, f.MessageIDByClient}}
		k.deliver(ctx, d, Message{Message: f.Message, client: k.c, delivery: d})
	case *schemas.MessageUpdate:
		d := &delivery{cursor: f.Cursor, seen: Seen{f.MessageID, f.SenderDeviceID, f.MessageIDByClient}}
		k.deliver(ctx, d, MessageUpdate{Message{Message: f.Message, client: k.c, delivery: d}})
	case *schemas.GroupUpdate:
		d := &delivery{cursor: f.Cursor, seen: Seen{MessageID: f.MessageID}}
		k.deliver(ctx, d, GroupUpdate{*f, d})
	case *schemas.ChatUpdate:
		d := &delivery{cursor: f.Cursor, seen: Seen{MessageID: f.MessageID}}
		k.deliver(ctx, d, ChatUpdate{*f, d})
	case *schemas.UserDeleted:
		d := &delivery{cursor: f.Cursor, seen: Seen{MessageID: f.MessageID}}
		k.deliver(ctx, d, UserDeleted{*f, d})
	case *schemas.InboxDrained:
		k.show(ctx, Drained{})
	case *schemas.Delivered:
		k.show(ctx, Delivered{*f})
	case *schemas.ReadBy:
		k.show(ctx, Read{*f})
	case *schemas.Receipts:
		k.show(ctx, Receipts{*f})
	case *schemas.Presence:
		k.show(ctx, Presence{*f})
	case *schemas.Typing:
		k.show(ctx, Typing{*f})
	case *schemas.WakeUp:
		k.show(ctx, WakeUp{*f})
	case *schemas.Reconnect:
		select {
		case k.reconnect <- time.Duration(f.AfterMS) * time.Millisecond:
		default:
		}
	}
}

// deliver shows what has a place in the inbox, once.
func (k *connection) deliver(ctx context.Context, d *delivery, ev Event) {
	k.c.mu.Lock()
	fresh := k.c.inbox.arrive(d)
	k.c.mu.Unlock()
	if !fresh {
		k.c.rouse() // a repeat may have to be acknowledged again
		return
	}
	if !k.show(ctx, ev) {
		k.c.mu.Lock()
		k.c.inbox.withdraw(d) // it will come again, and shall be shown then
		k.c.mu.Unlock()
	}
}

// show waits for room in the queue as long as the connection lives. After one
// event that had none it takes no other: a message that overtook it would be
// acknowledged before it.
func (k *connection) show(ctx context.Context, ev Event) bool {
	if k.dropping {
		return false
	}
	select {
	case k.c.events <- ev:
		return true
	default:
	}
	k.stalled.Store(true)
	defer k.stalled.Store(false)
	select {
	case k.c.events <- ev:
		return true
	case <-k.leave:
	case <-ctx.Done():
	}
	k.dropping = true
	return false
}
