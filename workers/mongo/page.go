package mongo

import (
	"context"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"roost/schemas"
)

// Page implements workers.Store.
func (s *Store) Page(ctx context.Context, chat schemas.ChatID, since, upTo schemas.Timestamp, limit int) ([]schemas.Message, error) {
	if limit <= 0 { // to MongoDB, 0 means no limit
		return nil, nil
	}
	limit = min(limit, math.MaxInt32) // the driver counts in 32 bits
	var found []document
	filter := bson.D{
		{Key: "chat", Value: chat},
		{Key: "timestamp", Value: bson.D{{Key: "$gte", Value: since}, {Key: "$lte", Value: upTo}}},
		// The TTL monitor of MongoDB runs once a minute. Some servers have none.
		{Key: "expires_at", Value: bson.D{{Key: "$gte", Value: s.now().Time()}}},
	}
	cursor, err := s.messages.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: -1}}).SetLimit(int64(limit)))
	if err == nil {
		err = cursor.All(ctx, &found) // it also closes the cursor
	}
	if err != nil {
		return nil, fmt.Errorf("failed to read a page of history from MongoDB: %w", err)
	}
	return messagesOf(found), nil
}

func messagesOf(found []document) []schemas.Message {
	messages := make([]schemas.Message, len(found))
	for i := range found {
		messages[i] = found[i].message()
	}
	return messages
}
