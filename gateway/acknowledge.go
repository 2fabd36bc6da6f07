package gateway

import (
	"context"
	"slices"
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

// tellSenders shows each sender that the message arrived, at the first of the
// reader's devices that has it. It is the live part
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
	now := time.Now()
	for _, h := range heads {
		if h.Type != schemas.TypeIncomingMessage || h.SenderID == s.addr.User {
			continue
		}
		if h.GroupID != "" {
			s.tellGroupSender(h, len(reader.Devices) > 1, now)
			continue
		}
		if s.recent == nil {
			s.recent = new(recent)
		}
		s.recent.add(h.MessageID, h.SenderID, now)
		if reader.Blocks(h.SenderID) || len(reader.Devices) > 1 && !s.server.told.first(s.addr.User, h.MessageID) {
			continue
		}
		frame := schemas.EncodeFrame(&schemas.Delivered{MessageID: h.MessageID, UserID: s.addr.User, Timestamp: schemas.TimestampOf(now)})
		s.server.streams.PublishDelivered(s.addr.User, frame)
		sender, err := s.server.directory.Person(s.conn.ctx, h.SenderID)
		if err != nil {
			continue // the watermark will tell
		}
		if !ofTheOneBefore(sender, h.MessageID) {
			s.show(h.SenderID, sender, frame)
		}
	}
}

// ofTheOneBefore says whether a message is of somebody who had the name before and
// deleted the account; who has it now is not told of its receipts.
func ofTheOneBefore(now *streams.Person, id schemas.MessageID) bool {
	return now.TokensAfter > 0 && id.Time() <= now.TokensAfter
}

// seesReads says whether the person has read receipts on.
func (s *session) seesReads(ctx context.Context) bool {
	me, err := s.server.directory.Person(ctx, s.addr.User)
	return err == nil && me.Settings.ReadReceipts
}

// receiptsSlack is how much earlier than the device's end the receipts begin
// that it is shown: live ones of that time may have been lost. A watermark shown
// twice says nothing new.
const receiptsSlack = time.Minute

// sendReceipts shows what changed while the device was away. Where nobody knows
// since when, it shows all since the device was last active. Who has read receipts
// off sees nobody's.
func (s *session) sendReceipts(ctx context.Context, device schemas.Device, before schemas.Session) {
	since := max(before.EndedAt, before.ConnectedAt)
	if since == 0 {
		since = device.LastActive
	}
	me, err := s.server.directory.Known(ctx, s.addr.User)
	if err == nil {
		err = s.server.streams.ReceiptsSince(ctx, s.addr.User, since.Time().Add(-receiptsSlack), func(items []schemas.ReceiptItem) {
			items = slices.DeleteFunc(items, func(i schemas.ReceiptItem) bool {
				return ofTheOneBefore(me, max(i.DeliveredUpTo, i.ReadUpTo))
			})
			if !s.seesReads(ctx) {
				for i := range items {
					items[i].ReadUpTo = ""
				}
			}
			if len(items) > 0 {
				s.conn.sendFrame(&schemas.Receipts{Items: items})
			}
		})
	}
	if err == nil {
		err = s.sendGroupReceipts(ctx, me.Settings.ReadReceipts, since.Time().Add(-receiptsSlack))
	}
	if err != nil {
		s.server.log.Warn("receipts could not be read; the next connection shows them", "error", err)
	}
}
