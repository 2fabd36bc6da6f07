package gateway

import (
	"time"

	"roost/schemas"
)

// messageDelivered is the verb message_delivered: this device has stored that message. An id that
// is not in flight was acknowledged before, and is ignored.
func (s *session) messageDelivered(f *schemas.DeliveredAck) {
	s.receiptsFor(s.inbox.Acknowledge(f.MessageID))
}

// ack is the verb ack: this device has stored everything up to the cursor.
func (s *session) ack(f *schemas.Ack) {
	heads, err := s.inbox.AcknowledgeUpTo(f.Cursor)
	if err != nil {
		s.conn.sendError(schemas.InvalidField("cursor", "%v.", err), 0)
		return
	}
	s.receiptsFor(heads)
}

// receiptsFor publishes a live receipt to the sender of each message, from the first of the user's
// devices that has it. A sender whom the user blocks gets none. The watermark is the durable
// receipt; it moves before the message leaves the inbox.
func (s *session) receiptsFor(heads []schemas.EntryHead) {
	s.server.metrics.acknowledged.Add(float64(len(heads)))
	if len(heads) == 0 {
		return
	}
	reader, err := s.server.directory.User(s.conn.ctx, s.addr.User)
	if err != nil {
		return // the watermark makes it good
	}
	now := time.Now()
	for _, h := range heads {
		if !h.IsSend() || h.SenderID == s.addr.User {
			continue
		}
		if h.GroupID != "" {
			s.groupReceiptFor(h, len(reader.Devices) > 1, now)
			continue
		}
		if s.recent == nil {
			s.recent = new(recent)
		}
		s.recent.add(h.MessageID, h.SenderID, now)
		if reader.Blocks(h.SenderID) || len(reader.Devices) > 1 && !s.server.receipts.first(s.addr.User, h.MessageID) {
			continue
		}
		frame := schemas.EncodeFrame(&schemas.Delivered{MessageID: h.MessageID, UserID: s.addr.User, Timestamp: schemas.TimestampOf(now)})
		s.server.streams.Bus().PublishDelivered(s.addr.User, frame)
		sender, err := s.server.directory.User(s.conn.ctx, h.SenderID)
		if err != nil {
			continue // the watermark makes it good
		}
		if !sender.PredatesAccount(h.MessageID) {
			s.show(h.SenderID, sender, frame)
		}
	}
}
