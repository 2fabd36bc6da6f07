package client

import (
	"context"
	"time"

	"roost/schemas"
)

// read handles the frames of the server until the connection ends.
func (k *connection) read(ctx context.Context) error {
	for {
		_, data, err := k.ws.Read(ctx)
		if err != nil {
			return closeError(err)
		}
		k.heard.Add(1)
		frame, err := decodeFrame(data, k.c.log)
		if err != nil {
			return err
		}
		k.handle(ctx, frame)
	}
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
		k.queue(ctx, ServerError{frameError(f)})
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
		k.queue(ctx, Drained{})
	case *schemas.Delivered:
		k.queue(ctx, Delivered{*f})
	case *schemas.ReadBy:
		k.queue(ctx, Read{*f})
	case *schemas.Receipts:
		k.queue(ctx, Receipts{*f})
	case *schemas.Presence:
		k.queue(ctx, Presence{*f})
	case *schemas.Typing:
		k.queue(ctx, Typing{*f})
	case *schemas.WakeUp:
		k.queue(ctx, WakeUp{*f})
	case *schemas.Reconnect:
		select {
		case k.reconnect <- time.Duration(f.AfterMS) * time.Millisecond:
		default:
		}
	}
}

// deliver queues the event of an inbox entry, but not that of a redelivery.
func (k *connection) deliver(ctx context.Context, d *delivery, ev Event) {
	k.c.mu.Lock()
	fresh := k.c.inbox.arrive(d)
	k.c.mu.Unlock()
	if !fresh {
		k.c.wakeWriter() // the redelivery may need its acknowledgement
		return
	}
	if !k.queue(ctx, ev) {
		k.c.mu.Lock()
		k.c.inbox.withdraw(d) // the server will redeliver it
		k.c.mu.Unlock()
	}
}

// queue waits for room in the queue of events until the connection ends. After it has
// dropped one event it drops all later ones: a message that overtook another would be
// acknowledged first.
func (k *connection) queue(ctx context.Context, ev Event) bool {
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
