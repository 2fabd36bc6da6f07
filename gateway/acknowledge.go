package gateway

import (
	"context"
	"time"

	"roost/schemas"
	"roost/streams"
)

// messageDelivered is the verb message_delivered: this device has stored that
// message. An id that is not in flight was acknowledged before, and is none.
func (s *session) messageDelivered(f *schemas.DeliveredAck) {
	s.tellSenders(s.inbox.Acknowledge(f.MessageID))
}

// ack is the verb ack: this device has stored everything up to the cursor.
func (s *session) ack(f *schemas.Ack) {
	heads, err := s.inbox.AcknowledgeUpTo(f.Cursor)
	if err != nil {
		s.conn.sendError(schemas.InvalidField("cursor", "%v.", err), 0)
		return
	}
	s.tellSenders(heads)
}

// tellSenders shows each sender that the message arrived. It is the live part
// only; the durable part is the watermark, which moves before the message leaves
// the inbox.
//
// A sender whom the reader blocks is told nothing.
func (s *session) tellSenders(heads []schemas.EntryHead) {
	s.server.metrics.acknowledged.Add(float64(len(heads)))
	if len(heads) == 0 {
		return
	}
	reader, err := s.server.directory.Person(s.conn.ctx, s.addr.User)
	if err != nil {
		return // the watermark will tell
	}
	for _, h := range heads {
		if h.Type != schemas.TypeIncomingMessage || h.SenderID == s.addr.User || h.GroupID != "" || reader.Blocks(h.SenderID) {
			continue
		}
		frame := schemas.EncodeFrame(&schemas.Delivered{MessageID: h.MessageID, UserID: s.addr.User, Timestamp: schemas.Now()})
		s.server.streams.PublishDelivered(s.addr.User, frame)
		sender, err := s.server.directory.Person(s.conn.ctx, h.SenderID)
		if err != nil {
			continue // the watermark will tell
		}
		for _, d := range sender.Devices {
			s.server.streams.PublishFrame(streams.Address{User: h.SenderID, Device: d.DeviceID}, frame)
		}
	}
}

// receiptsSlack is how much earlier than the device's end the receipts begin
// that it is shown: live ones of that time may have been lost. A watermark shown
// twice says nothing new.
const receiptsSlack = time.Minute

// sendReceipts shows what changed while the device was away. Where nobody knows
// since when, it shows all since the device was last active.
func (s *session) sendReceipts(ctx context.Context, device schemas.Device, before schemas.Session) {
	since := max(before.EndedAt, before.ConnectedAt)
	if since == 0 {
		since = device.LastActive
	}
	err := s.server.streams.ReceiptsSince(ctx, s.addr.User, since.Time().Add(-receiptsSlack), func(items []schemas.ReceiptItem) {
		s.conn.sendFrame(&schemas.Receipts{Items: items})
	})
	if err != nil {
		s.server.log.Warn("receipts could not be read; the next connection shows them", "error", err)
	}
}
