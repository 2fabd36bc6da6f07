package mongo

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"roost/schemas"
)

// DeleteBetween implements workers.Store.
func (s *Store) DeleteBetween(ctx context.Context, chat schemas.ChatID, from, to schemas.Timestamp) (int, error) {
	n, err := deleteAll(ctx, s.messages, bson.D{{Key: "chat", Value: chat},
		{Key: "timestamp", Value: bson.D{{Key: "$gte", Value: from}, {Key: "$lt", Value: to}}}})
	if err == nil {
		_, err = deleteAll(ctx, s.updates, bson.D{{Key: "chat", Value: chat}, {Key: "target_message_id",
			Value: bson.D{{Key: "$gte", Value: schemas.MessageIDAt(from)}, {Key: "$lt", Value: schemas.MessageIDAt(to)}}}})
	}
	if err != nil {
		return n, fmt.Errorf("failed to delete from the history of a chat in MongoDB: %w", err)
	}
	return n, nil
}

// DeleteExpired implements workers.Store. It does not count what the TTL index has
// deleted already.
func (s *Store) DeleteExpired(ctx context.Context, now schemas.Timestamp) (int, error) {
	past := bson.D{{Key: "expires_at", Value: bson.D{{Key: "$lt", Value: now.Time()}}}}
	n, err := deleteAll(ctx, s.messages, past)
	if err == nil {
		_, err = deleteAll(ctx, s.updates, past)
	}
	if err != nil {
		return n, fmt.Errorf("failed to delete expired history from MongoDB: %w", err)
	}
	return n, nil
}

type idFound struct {
	ID schemas.MessageID `bson:"_id"`
}

// deleteAll deletes all matches in batches. One command for millions would exceed its
// deadline, and the next one would start from the beginning.
func deleteAll(ctx context.Context, of *driver.Collection, filter bson.D) (int, error) {
	total := 0
	for {
		var found []idFound
		cursor, err := of.Find(ctx, filter, options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}).
			SetLimit(batchSize).SetBatchSize(batchSize+1)) // one more than the limit, so the first answer closes the cursor
		if err == nil {
			err = cursor.All(ctx, &found) // it also closes the cursor
		}
		if err != nil || len(found) == 0 {
			return total, err
		}
		n, err := deleteBatch(ctx, of, filter, found)
		total += n
		if err != nil || len(found) < batchSize {
			return total, err
		}
	}
}

// deleteBatch adds the filter to the ids. On a sharded cluster the chat in the filter
// selects the shard.
func deleteBatch(ctx context.Context, of *driver.Collection, filter bson.D, found []idFound) (int, error) {
	ids := make([]schemas.MessageID, len(found))
	for i, f := range found {
		ids[i] = f.ID
	}
	filter = append(filter[:len(filter):len(filter)], bson.E{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}})
	result, err := of.DeleteMany(ctx, filter)
	if err != nil {
		return 0, err
	}
	return int(result.DeletedCount), nil
}
