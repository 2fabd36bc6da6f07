package workers

import (
	"context"

	"roost/schemas"
)

// Store keeps history. Packages workers/sqlite and workers/mongo implement it, and both
// pass workers/historytest. All methods may be called concurrently and respect ctx. They
// return an error only if the store fails or ctx ends. If they find nothing, they return
// an empty result.
type Store interface {
	// Append stores messages and updates. It ignores an id that is stored already, so
	// it may get the same batch again, whole or in part. After it returns nil, all of
	// them are on the disk (in a cluster, on those of a majority). After an error, any
	// part of them may be stored.
	//
	// An update may come before its target, after it, or without it. The order and the
	// repetition of batches do not change what is stored in the end:
	//
	//  1. Of each (target, sender, change) in a chat the store keeps the update with
	//     the largest id.
	//  2. After the target is stored, it keeps no edit or deletion that another user
	//     than the sender of the target sent.
	//  3. A deletion by the sender removes the content of the target and all its other
	//     updates.
	Append(ctx context.Context, messages []schemas.Message) error

	// Page returns the newest messages of a chat with a timestamp in [since, upTo],
	// newest first by message id, at most limit. It returns no updates, no messages
	// older than schemas.HistoryDays, and no expired messages. The content of a
	// deleted message is empty.
	Page(ctx context.Context, chat schemas.ChatID, since, upTo schemas.Timestamp, limit int) ([]schemas.Message, error)

	// Updates returns the updates of these messages of a chat, in any order. It leaves
	// ExpiresAt empty, because an update expires with its target. The result may hold
	// an update that a newer one has just replaced.
	Updates(ctx context.Context, chat schemas.ChatID, targets []schemas.MessageID) ([]schemas.Message, error)

	// Chats returns, in any order, the chats with a stored message or update that the
	// user sent or received. So a caller that deletes chat by chat finds everything.
	Chats(ctx context.Context, user schemas.UserID) ([]schemas.ChatID, error)

	// DeleteBetween deletes the messages of a chat with a timestamp in [from, to), and
	// the updates of messages of that time. It returns the number of deleted messages.
	DeleteBetween(ctx context.Context, chat schemas.ChatID, from, to schemas.Timestamp) (int, error)

	// DeleteExpired deletes the messages that are older than schemas.HistoryDays or
	// have expired at the time now, and their updates. It returns the number of
	// deleted messages. Workers call it every minute, so it reads only what it deletes.
	DeleteExpired(ctx context.Context, now schemas.Timestamp) (int, error)

	// Ping reports whether the store can serve.
	Ping(ctx context.Context) error
}
