package gateway

import (
	"cmp"
	"context"
	"slices"
	"time"

	"roost/schemas"
	"roost/streams/receipts"
)

// receiptsSlack is how much earlier than its last activity the receipts of a device begin, for
// those in flight then. A watermark that is shown twice says nothing new.
const receiptsSlack = time.Minute

// missedReceipts shows a session the read marks and receipts that changed while its device was
// away.
type missedReceipts struct{ *session }

// showAll shows them all. A user who has read receipts off sees no read marks of others.
func (m *missedReceipts) showAll(ctx context.Context) {
	changes := m.server.streams.Receipts().Changes(m.record.ReceiptsFrom.Time().Add(-receiptsSlack))
	err := m.ofUser(ctx, changes)
	if err == nil {
		err = m.ofGroups(ctx, changes)
	}
	if err != nil {
		// The record of the session's end says since when the device misses them.
		if from := m.record.ReceiptsFrom; from > 0 {
			m.record.ConnectedAt = min(m.record.ConnectedAt, from)
		}
		m.server.log.Warn("receipts could not be read; the next connection shows them", "error", err)
	}
}

// ofUser shows how far the user has read on other devices, and how far other users have
// received and read the user's messages.
func (m *missedReceipts) ofUser(ctx context.Context, changes *receipts.Changes) error {
	me, err := m.server.directory.Registration(ctx, m.addr.User)
	if err != nil {
		return err
	}
	var failed error
	err = changes.OfUser(ctx, m.addr.User, m.sendMarks, func(items []schemas.ReceiptItem) {
		items = slices.DeleteFunc(items, func(i schemas.ReceiptItem) bool {
			return me.PredatesAccount(max(i.DeliveredUpTo, i.ReadUpTo))
		})
		failed = cmp.Or(failed, m.sendItems(ctx, items))
	})
	return cmp.Or(err, failed)
}

// sendItems shows receipts. It leaves out how far others read if the user has read receipts off.
func (m *missedReceipts) sendItems(ctx context.Context, items []schemas.ReceiptItem) error {
	if len(items) == 0 {
		return nil
	}
	me, err := m.server.directory.User(ctx, m.addr.User)
	if err != nil {
		return err
	}
	if !me.Settings.ReadReceipts {
		for i := range items {
			items[i].ReadUpTo = ""
		}
	}
	for page := range slices.Chunk(items, schemas.MaxReceiptItems) {
		m.conn.sendFrame(&schemas.Receipts{Items: page})
	}
	return nil
}

// ofGroups shows the receipts of the user's groups.
func (m *missedReceipts) ofGroups(ctx context.Context, changes *receipts.Changes) error {
	items, err := m.server.streams.Groups().ReceiptChanges(ctx, changes, m.addr.User, schemas.MaxReceiptGroups)
	if err != nil {
		return err
	}
	users := make([]schemas.UserID, len(items))
	for i := range items {
		users[i] = items[i].UserID
	}
	people, err := m.server.directory.Users(ctx, users)
	if err != nil {
		return err
	}
	for i := range items {
		if !people[i].Settings.ReadReceipts {
			items[i].ReadUpTo = ""
		}
	}
	return m.sendItems(ctx, items)
}

// sendMarks shows how far the user has read on other devices, whether or not others may see it.
func (m *missedReceipts) sendMarks(marks []schemas.ReadMark) {
	items := make([]schemas.ReceiptItem, len(marks))
	for i, mark := range marks {
		items[i] = schemas.ReceiptItem{Chat: mark.Chat, UserID: m.addr.User, ReadUpTo: mark.ReadUpTo}
	}
	m.conn.sendFrame(&schemas.Receipts{Items: items})
}
