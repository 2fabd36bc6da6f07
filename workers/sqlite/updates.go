package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"roost/schemas"
)

const (
	insertUpdate = `
		INSERT INTO updates (target_message_id, chat, sender_id, change, message_id, receiver_id, group_id,
			content, timestamp, sender_device_id, message_id_by_client, kept_until)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (target_message_id, chat, sender_id, change) DO UPDATE SET message_id = excluded.message_id,
			content = excluded.content, timestamp = excluded.timestamp, sender_device_id = excluded.sender_device_id,
			message_id_by_client = excluded.message_id_by_client, kept_until = excluded.kept_until
		WHERE excluded.message_id > updates.message_id`
	selectTarget = `SELECT chat, sender_id, timestamp, expires_at FROM messages WHERE message_id = ?`

	// deleteForeign deletes edits and deletions of another user's message, and updates
	// that name the message in another chat.
	deleteForeign = `
		DELETE FROM updates WHERE target_message_id = ?1
			AND (chat <> ?2 OR sender_id <> ?3 AND change <> 'reaction') RETURNING chat`
	// emptyDeleted runs after deleteForeign, so each deletion is the sender's.
	emptyDeleted = `
		UPDATE messages SET content = '' WHERE message_id = ?1 AND content <> ''
			AND EXISTS (SELECT 1 FROM updates WHERE target_message_id = ?1 AND change = 'delete')`
	deleteOfDeleted = `
		DELETE FROM updates WHERE target_message_id = ?1 AND change <> 'delete'
			AND EXISTS (SELECT 1 FROM updates WHERE target_message_id = ?1 AND change = 'delete')`
	keepAsTarget = `UPDATE updates SET kept_until = ?2 WHERE target_message_id = ?1 AND kept_until <> ?2`
)

// selectUpdated returns a query for those of n messages that have updates.
func selectUpdated(n int) string {
	return `SELECT DISTINCT target_message_id FROM updates WHERE target_message_id IN (?` + strings.Repeat(", ?", n-1) + `)`
}

// selectUpdates returns a query for the updates of n messages of a chat.
func selectUpdates(n int) string {
	return `
		SELECT target_message_id, sender_id, change, message_id, receiver_id, group_id,
			content, timestamp, sender_device_id, message_id_by_client
		FROM updates WHERE chat = ? AND target_message_id IN (?` + strings.Repeat(", ?", n-1) + `)`
}

// applyUpdates applies the stored updates of the new messages, and of the targets of new
// updates.
func applyUpdates(ctx context.Context, tx *sql.Tx, added, targets []schemas.MessageID) error {
	if len(added) > 0 {
		found, err := haveUpdates(ctx, tx, added)
		if err != nil {
			return err
		}
		targets = append(targets, found...)
	}
	slices.Sort(targets)
	for _, id := range slices.Compact(targets) {
		if err := applyUpdatesOf(ctx, tx, id); err != nil {
			return err
		}
	}
	return nil
}

// haveUpdates returns those of the messages that have stored updates.
func haveUpdates(ctx context.Context, tx *sql.Tx, ids []schemas.MessageID) (targets []schemas.MessageID, err error) {
	rows, err := tx.QueryContext(ctx, selectUpdated(len(ids)), arguments(ids)...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id schemas.MessageID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		targets = append(targets, id)
	}
	return targets, rows.Err()
}

// applyUpdatesOf applies the stored updates of one message: it deletes the forbidden ones,
// empties a deleted message, and sets when the updates expire.
func applyUpdatesOf(ctx context.Context, tx *sql.Tx, id schemas.MessageID) error {
	var m schemas.Message
	var chat schemas.ChatID
	err := tx.QueryRowContext(ctx, selectTarget, id).Scan(&chat, &m.SenderID, &m.Timestamp, &m.ExpiresAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // Append calls it again with the message
	}
	if err != nil {
		return err
	}
	if _, err := deleteBatch(ctx, tx, deleteForeign, []any{id, chat, m.SenderID}); err != nil {
		return err
	}
	for _, step := range []struct {
		query string
		args  []any
	}{
		{emptyDeleted, []any{id}},
		{deleteOfDeleted, []any{id}},
		{keepAsTarget, []any{id, m.KeptUntil()}},
	} {
		if _, err := tx.ExecContext(ctx, step.query, step.args...); err != nil {
			return err
		}
	}
	return nil
}

// Updates implements workers.Store.
func (s *Store) Updates(ctx context.Context, chat schemas.ChatID, targets []schemas.MessageID) ([]schemas.Message, error) {
	var all []schemas.Message
	for some := range slices.Chunk(targets, batchSize) {
		found, err := s.updates(ctx, chat, some)
		if err != nil {
			return nil, fmt.Errorf("failed to read the updates of messages from history: %w", err)
		}
		all = append(all, found...)
	}
	return all, nil
}

func (s *Store) updates(ctx context.Context, chat schemas.ChatID, targets []schemas.MessageID) ([]schemas.Message, error) {
	rows, err := s.reader.QueryContext(ctx, selectUpdates(len(targets)), append([]any{chat}, arguments(targets)...)...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var found []schemas.Message
	for rows.Next() {
		var u schemas.Message
		err := rows.Scan(&u.TargetMessageID, &u.SenderID, &u.Change, &u.MessageID, &u.ReceiverID, &u.GroupID,
			&u.Content, &u.Timestamp, &u.SenderDeviceID, &u.MessageIDByClient)
		if err != nil {
			return nil, err
		}
		found = append(found, u)
	}
	return found, rows.Err()
}

func arguments(ids []schemas.MessageID) []any {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	return args
}
