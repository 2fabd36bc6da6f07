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
	//
	// Updates may stand among them, before or behind the messages that they change,
	// or without. In whichever order and how often batches come, what is stored
	// in the end is the same: of each (target, sender, change) in a chat the update with
	// the largest id. An edit or deletion by who did not send the target is not kept once
	// the target is known. A deletion by who did takes the content out of the
	// message, and all other updates of it.
	Append(ctx context.Context, messages []schemas.Message) error

	// Page returns the newest messages of a chat whose timestamp is in
	// [since, upTo], newest first by message id, at most limit: no updates. Messages
	// older than schemas.HistoryDays, and those that have disappeared, are never
	// returned. The content of one that was deleted is empty.
	Page(ctx context.Context, chat schemas.ChatID, since, upTo schemas.Timestamp, limit int) ([]schemas.Message, error)

	// Updates returns what was done in a chat to those messages, in any order,
	// without ExpiresAt: an update is there as long as its target. One that has just
	// been replaced by a newer one may be among them.
	Updates(ctx context.Context, chat schemas.ChatID, targets []schemas.MessageID) ([]schemas.Message, error)

	// Chats returns the chats in which the user has sent or received something that
	// is stored, be it an update whose target is not, in any order: so whoever
	// deletes chat by chat finds everything.
	Chats(ctx context.Context, user schemas.UserID) ([]schemas.ChatID, error)

	// DeleteBetween deletes the messages of a chat whose timestamp is from or later and
	// before to, with the updates of messages of that time, and returns how many messages.
	DeleteBetween(ctx context.Context, chat schemas.ChatID, from, to schemas.Timestamp) (int, error)

	// DeleteExpired deletes what is older than schemas.HistoryDays at the time now,
	// or has disappeared by then, with its updates, and returns how many messages. It
	// is called every minute and looks at nothing else.
	DeleteExpired(ctx context.Context, now schemas.Timestamp) (int, error)

	// Ping says whether the store can serve.
	Ping(ctx context.Context) error
}
