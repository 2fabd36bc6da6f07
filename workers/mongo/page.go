package mongo

import (
	"context"
	"fmt"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"roost/schemas"
)

// Page returns the newest messages of a chat, as workers.Store says.
func (s *Store) Page(ctx context.Context, chat schemas.ChatID, since, upTo schemas.Timestamp, limit int) ([]schemas.Message, error) {
	if limit <= 0 { // MongoDB takes 0 for no limit
		return nil, nil
	}
	limit = min(limit, math.MaxInt32) // the driver counts to it in 32 bits
	var found []document
	filter := bson.D{
		{Key: "chat", Value: chat},
		{Key: "timestamp", Value: bson.D{{Key: "$gte", Value: since}, {Key: "$lte", Value: upTo}}},
		// The TTL monitor runs once a minute, and not at all on a server without it.
		{Key: "expires_at", Value: bson.D{{Key: "$gte", Value: s.now().Time()}}},
	}
	cursor, err := s.messages.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: -1}}).SetLimit(int64(limit)))
	if err == nil {
		err = cursor.All(ctx, &found) // which closes it
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
