package sqlite

import (
	"context"
	"fmt"

	"roost/schemas"
)

// selectChats reads one message of each 1:1 chat: any of them matches. In a group it reads
// up to the first message or update of the user.
const selectChats = `
	SELECT chat FROM participants AS p WHERE user_id = ? AND (
		EXISTS (SELECT 1 FROM messages WHERE chat = p.chat AND (sender_id = p.user_id OR receiver_id = p.user_id))
		OR EXISTS (SELECT 1 FROM updates WHERE chat = p.chat AND (sender_id = p.user_id OR receiver_id = p.user_id)))`

// Chats implements workers.Store.
func (s *Store) Chats(ctx context.Context, user schemas.UserID) ([]schemas.ChatID, error) {
	chats, err := s.chats(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("failed to read the chats of a user: %w", err)
	}
	return chats, nil
}

func (s *Store) chats(ctx context.Context, user schemas.UserID) ([]schemas.ChatID, error) {
	rows, err := s.reader.QueryContext(ctx, selectChats, user)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var chats []schemas.ChatID
	for rows.Next() {
		var chat schemas.ChatID
		if err := rows.Scan(&chat); err != nil {
			return nil, err
		}
		chats = append(chats, chat)
	}
	return chats, rows.Err()
}
