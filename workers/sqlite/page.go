package sqlite

import (
	"context"
	"fmt"

	"roost/schemas"
)

const selectPage = `
	SELECT message_id, sender_id, receiver_id, group_id, content,
		timestamp, reply_to, sender_device_id, message_id_by_client, expires_at
	FROM messages WHERE chat = ? AND timestamp BETWEEN ? AND ? AND (expires_at = 0 OR expires_at > ?)
	ORDER BY message_id DESC LIMIT ?`

// Page implements workers.Store.
func (s *Store) Page(ctx context.Context, chat schemas.ChatID, since, upTo schemas.Timestamp, limit int) ([]schemas.Message, error) {
	if limit <= 0 { // to SQLite, a negative limit means no limit
		return nil, nil
	}
	now := s.now()
	page, err := s.page(ctx, chat, max(since, oldest(now)), upTo, now, limit)
	if err != nil {
		return nil, fmt.Errorf("failed to read a page of history: %w", err)
	}
	return page, nil
}

func (s *Store) page(ctx context.Context, chat schemas.ChatID, since, upTo, now schemas.Timestamp, limit int) ([]schemas.Message, error) {
	rows, err := s.reader.QueryContext(ctx, selectPage, chat, since, upTo, now, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var page []schemas.Message
	for rows.Next() {
		var m schemas.Message
		err := rows.Scan(&m.MessageID, &m.SenderID, &m.ReceiverID, &m.GroupID, &m.Content,
			&m.Timestamp, &m.ReplyTo, &m.SenderDeviceID, &m.MessageIDByClient, &m.ExpiresAt)
		if err != nil {
			return nil, err
		}
		page = append(page, m)
	}
	return page, rows.Err()
}
