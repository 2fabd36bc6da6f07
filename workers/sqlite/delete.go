package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"roost/schemas"
)

// Deletes go in batches, so that Append gets its turn in between.
const (
	deleteBefore = `
		DELETE FROM messages WHERE rowid IN (
			SELECT rowid FROM messages WHERE chat = ? AND timestamp < ? LIMIT ?) RETURNING chat`
	deleteExpired = `
		DELETE FROM messages WHERE rowid IN (
			SELECT rowid FROM messages WHERE timestamp < ? LIMIT ?) RETURNING chat`
	deleteParticipants = `
		DELETE FROM participants WHERE chat = ?1 AND NOT EXISTS (SELECT 1 FROM messages WHERE chat = ?1)`
)

// DeleteBefore deletes the messages of a chat from before t, as workers.Store
// says.
func (s *Store) DeleteBefore(ctx context.Context, chat schemas.ChatID, t schemas.Timestamp) (int, error) {
	n, err := s.deleteAll(ctx, deleteBefore, chat, t, batchSize)
	if err != nil {
		return n, fmt.Errorf("failed to delete from the history of a chat: %w", err)
	}
	return n, nil
}

// DeleteExpired deletes what is expired at now, as workers.Store says.
func (s *Store) DeleteExpired(ctx context.Context, now schemas.Timestamp) (int, error) {
	n, err := s.deleteAll(ctx, deleteExpired, oldest(now), batchSize)
	if err != nil {
		return n, fmt.Errorf("failed to delete expired history: %w", err)
	}
	return n, nil
}

// deleteAll repeats a query until it deletes less than a batch.
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

// deleteBatch deletes messages, and the participants of chats that it empties.
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
