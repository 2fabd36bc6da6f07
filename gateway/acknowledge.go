package gateway

import (
	"cmp"
	"context"
	"slices"
	"time"

	"roost/schemas"
	"roost/streams/receipts"
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
// reader's devices that has it; not one whom the reader blocks. It is the live part
// only: the durable part is the watermark, which moves before the message leaves
// the inbox.
func (s *session) tellSenders(heads []schemas.EntryHead) {
	s.server.metrics.acknowledged.Add(float64(len(heads)))
	if len(heads) == 0 {
		return
	}
	reader, err := s.server.directory.User(s.conn.ctx, s.addr.User)
	if err != nil {
		return // the watermark will tell
	}
	now := time.Now()
	for _, h := range heads {
		if !h.IsSend() || h.SenderID == s.addr.User {
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
		s.server.streams.Bus().PublishDelivered(s.addr.User, frame)
		sender, err := s.server.directory.User(s.conn.ctx, h.SenderID)
		if err != nil {
			continue // the watermark will tell
		}
		if !sender.PredatesAccount(h.MessageID) {
			s.show(h.SenderID, sender, frame)
		}
	}
}

// receiptsSlack is how much earlier the receipts begin that a device is shown, for what
// was on its way. A watermark shown twice says nothing new.
const receiptsSlack = time.Minute

// sendReceipts shows what changed of read marks and receipts that the device may have
// missed. Who has read receipts off sees those of nobody else.
func (s *session) sendReceipts(ctx context.Context) {
	changes := s.server.streams.Receipts().Changes(s.record.ReceiptsFrom.Time().Add(-receiptsSlack))
	err := s.showReceipts(ctx, changes)
	if err == nil {
		err = s.showGroupReceipts(ctx, changes)
	}
	if err != nil {
		// The record of the session's end says since when the device lacks them.
		if from := s.record.ReceiptsFrom; from > 0 {
			s.record.ConnectedAt = min(s.record.ConnectedAt, from)
		}
		s.server.log.Warn("receipts could not be read; the next connection shows them", "error", err)
	}
}

// showReceipts shows how far the user has read on other devices, and how far others have
// the user's messages.
func (s *session) showReceipts(ctx context.Context, changes *receipts.Changes) error {
	me, err := s.server.directory.Registration(ctx, s.addr.User)
	if err != nil {
		return err
	}
	var failed error
	err = changes.OfUser(ctx, s.addr.User, s.sendReadMarks, func(items []schemas.ReceiptItem) {
		items = slices.DeleteFunc(items, func(i schemas.ReceiptItem) bool {
			return me.PredatesAccount(max(i.DeliveredUpTo, i.ReadUpTo))
		})
		failed = cmp.Or(failed, s.sendItems(ctx, items))
	})
	return cmp.Or(err, failed)
}

// sendItems shows receipts, those of reading only to who has read receipts on.
func (s *session) sendItems(ctx context.Context, items []schemas.ReceiptItem) error {
	if len(items) == 0 {
		return nil
	}
	me, err := s.server.directory.User(ctx, s.addr.User)
	if err != nil {
		return err
	}
	if !me.Settings.ReadReceipts {
		for i := range items {
			items[i].ReadUpTo = ""
		}
	}
	for page := range slices.Chunk(items, schemas.MaxReceiptItems) {
		s.conn.sendFrame(&schemas.Receipts{Items: page})
	}
	return nil
}
