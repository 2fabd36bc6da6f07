package mongo

import (
	"context"
	"fmt"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"roost/schemas"
)

// Page returns the newest messages of a chat, as workers.Store says.
func (s *Store) Page(ctx context.Context, chat schemas.ChatID, since, upTo schemas.Timestamp, limit int) ([]schemas.Message, error) {
	if limit <= 0 { // MongoDB takes 0 for no limit
		return nil, nil
	}
	// The TTL monitor runs once a minute, and not at all on a server without it.
	since = max(since, oldest(s.now()))
	limit = min(limit, math.MaxInt32) // the driver counts to it in 32 bits
	var found []document
	filter := bson.D{{Key: "chat", Value: chat}, {Key: "timestamp", Value: bson.D{{Key: "$gte", Value: since}, {Key: "$lte", Value: upTo}}}}
	cursor, err := s.messages.Find(ctx, filter, options.Find().SetSort(bson.D{{Key: "_id", Value: -1}}).SetLimit(int64(limit)))
	if err == nil {
		err = cursor.All(ctx, &found) // which closes it
	}
	if err != nil {
		return nil, fmt.Errorf("failed to read a page of history from MongoDB: %w", err)
	}
	page := make([]schemas.Message, len(found))
	for i := range found {
		page[i] = found[i].message()
	}
	return page, nil
}

// oldest is the timestamp of the oldest message that is not expired at now.
func oldest(now schemas.Timestamp) schemas.Timestamp {
	return now - schemas.Timestamp(retention/time.Millisecond)
}
