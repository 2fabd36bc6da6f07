package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"roost/schemas"
)

const (
	insertMessage = `
		INSERT INTO messages (message_id, chat, sender_id, receiver_id, group_id, content,
			timestamp, reply_to, sender_device_id, message_id_by_client, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	insertParticipant = `INSERT INTO participants (user_id, chat) VALUES (?, ?) ON CONFLICT DO NOTHING`
)

// participant is a user who sent to a chat or received from it.
type participant struct {
	user schemas.UserID
	chat schemas.ChatID
}

// Append implements workers.Store.
func (s *Store) Append(ctx context.Context, messages []schemas.Message) error {
	for batch := range slices.Chunk(messages, batchSize) {
		err := s.write(ctx, func(tx *sql.Tx) error { return appendBatch(ctx, tx, batch) })
		if err != nil {
			return fmt.Errorf("failed to append to history: %w", err)
		}
	}
	return nil
}

func appendBatch(ctx context.Context, tx *sql.Tx, batch []schemas.Message) error {
	insert, err := tx.PrepareContext(ctx, insertMessage)
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }()
	var added, targets []schemas.MessageID // the new messages, and the targets of new updates
	participants := make(map[participant]struct{})
	for i := range batch {
		m, chat := &batch[i], batch[i].Chat()
		var result sql.Result
		if m.IsUpdate() {
			result, err = tx.ExecContext(ctx, insertUpdate, m.TargetMessageID, chat, m.SenderID, m.Change, m.MessageID, m.ReceiverID, m.GroupID,
				m.Content, m.Timestamp, m.SenderDeviceID, m.MessageIDByClient, m.KeptUntil())
		} else {
			result, err = insert.ExecContext(ctx, m.MessageID, chat, m.SenderID, m.ReceiverID, m.GroupID, m.Content,
				m.Timestamp, m.ReplyTo, m.SenderDeviceID, m.MessageIDByClient, m.ExpiresAt)
		}
		if err != nil {
			return err
		}
		inserted, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if inserted == 0 {
			continue
		}
		if m.IsUpdate() {
			targets = append(targets, m.TargetMessageID)
		} else {
			added = append(added, m.MessageID)
		}
		participants[participant{m.SenderID, chat}] = struct{}{}
		if m.ReceiverID != "" {
			participants[participant{m.ReceiverID, chat}] = struct{}{}
		}
	}
	for p := range participants {
		if _, err := tx.ExecContext(ctx, insertParticipant, p.user, p.chat); err != nil {
			return err
		}
	}
	return applyUpdates(ctx, tx, added, targets)
}
