package workers

import (
	"context"

	"roost/schemas"
)

// Store keeps history. Adapters are in workers/sqlite and workers/mongo, and
// both pass workers/historytest. All methods may be called concurrently, respect
// ctx, and return an error only where the store failed or ctx ended: "nothing
// there" is an empty result.
type Store interface {
	// Append stores messages, each once: a message whose id is there already is
	// left as it is, so the same batch may come again, whole or in part. When it
	// returns nil all of them are on disk (and, in a cluster, on a majority).
	// On error any part of them may be stored.
	Append(ctx context.Context, messages []schemas.Message) error

	// Page returns the newest messages of a chat whose timestamp is in
	// [since, upTo], newest first by message id, at most limit. Messages older
	// than schemas.HistoryDays are never returned.
	Page(ctx context.Context, chat schemas.ChatID, since, upTo schemas.Timestamp, limit int) ([]schemas.Message, error)

	// Chats returns the chats in which the user has sent or received a stored
	// message, in any order.
	Chats(ctx context.Context, user schemas.UserID) ([]schemas.ChatID, error)

	// DeleteBefore deletes the messages of a chat whose timestamp is before t,
	// and returns how many.
	DeleteBefore(ctx context.Context, chat schemas.ChatID, t schemas.Timestamp) (int, error)

	// DeleteExpired deletes what is older than schemas.HistoryDays at the time
	// now, and returns how many.
	DeleteExpired(ctx context.Context, now schemas.Timestamp) (int, error)

	// Ping says whether the store can serve.
	Ping(ctx context.Context) error
}
