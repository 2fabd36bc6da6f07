package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"roost/schemas"
)

// The queries delete in batches, so Append can write between two of them.
const (
	deleteBetween = `
		DELETE FROM messages WHERE rowid IN (
			SELECT rowid FROM messages WHERE chat = ? AND timestamp >= ? AND timestamp < ? LIMIT ?) RETURNING chat`
	deleteUpdatesBetween = `
		DELETE FROM updates WHERE (target_message_id, chat, sender_id, change) IN (
			SELECT target_message_id, chat, sender_id, change FROM updates
			WHERE chat = ? AND target_message_id >= ? AND target_message_id < ? LIMIT ?) RETURNING chat`
	deleteExpired = `
		DELETE FROM messages WHERE rowid IN (
			SELECT rowid FROM messages WHERE timestamp < ? LIMIT ?) RETURNING chat`
	deleteDisappeared = `
		DELETE FROM messages WHERE rowid IN (
			SELECT rowid FROM messages WHERE expires_at > 0 AND expires_at <= ? LIMIT ?) RETURNING chat`
	deleteExpiredUpdates = `
		DELETE FROM updates WHERE (target_message_id, chat, sender_id, change) IN (
			SELECT target_message_id, chat, sender_id, change FROM updates WHERE kept_until < ? LIMIT ?) RETURNING chat`
	deleteParticipants = `
		DELETE FROM participants WHERE chat = ?1 AND NOT EXISTS (SELECT 1 FROM messages WHERE chat = ?1)
			AND NOT EXISTS (SELECT 1 FROM updates WHERE chat = ?1)`
)

// DeleteBetween implements workers.Store.
func (s *Store) DeleteBetween(ctx context.Context, chat schemas.ChatID, from, to schemas.Timestamp) (int, error) {
	n, err := s.deleteAll(ctx, deleteBetween, chat, from, to, batchSize)
	if err == nil {
		_, err = s.deleteAll(ctx, deleteUpdatesBetween, chat, schemas.MessageIDAt(from), schemas.MessageIDAt(to), batchSize)
	}
	if err != nil {
		return n, fmt.Errorf("failed to delete from the history of a chat: %w", err)
	}
	return n, nil
}

// DeleteExpired implements workers.Store.
func (s *Store) DeleteExpired(ctx context.Context, now schemas.Timestamp) (int, error) {
	n, err := s.deleteExpired(ctx, now)
	if err != nil {
		return n, fmt.Errorf("failed to delete expired history: %w", err)
	}
	return n, nil
}

func (s *Store) deleteExpired(ctx context.Context, now schemas.Timestamp) (int, error) {
	n, err := s.deleteAll(ctx, deleteExpired, oldest(now), batchSize)
	if err != nil {
		return n, err
	}
	more, err := s.deleteAll(ctx, deleteDisappeared, now, batchSize)
	if err != nil {
		return n + more, err
	}
	_, err = s.deleteAll(ctx, deleteExpiredUpdates, now, batchSize)
	return n + more, err
}

// deleteAll runs a query until it deletes less than a batch.
func (s *Store) deleteAll(ctx context.Context, query string, args ...any) (int, error) {
	total := 0
	for {
		n := 0
		err := s.write(ctx, func(tx *sql.Tx) (err error) {
			n, err = deleteBatch(ctx, tx, query, args)
			return err
		})
		if err != nil {
			return total, err
		}
		total += n
		if n < batchSize {
			return total, nil
		}
	}
}

// deleteBatch deletes messages or updates, and the participants of the chats that become
// empty.
func deleteBatch(ctx context.Context, tx *sql.Tx, query string, args []any) (int, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	n, chats := 0, make(map[schemas.ChatID]struct{})
	for ; rows.Next(); n++ {
		var chat schemas.ChatID
		if err := rows.Scan(&chat); err != nil {
			return 0, err
		}
		chats[chat] = struct{}{}
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	for chat := range chats {
		if _, err := tx.ExecContext(ctx, deleteParticipants, chat); err != nil {
			return 0, err
		}
	}
	return n, nil
}
