package mongo

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"roost/schemas"
)

// Chats implements workers.Store.
func (s *Store) Chats(ctx context.Context, user schemas.UserID) ([]schemas.ChatID, error) {
	// Two queries of each collection, each answered by one index. A single query with
	// $or would read documents.
	seen := make(map[schemas.ChatID]struct{})
	var chats []schemas.ChatID
	for _, of := range []*driver.Collection{s.messages, s.updates} {
		for _, field := range []string{"sender_id", "receiver_id"} {
			found, err := chatsBy(ctx, of, field, user)
			if err != nil {
				return nil, fmt.Errorf("failed to read the chats of a user from MongoDB: %w", err)
			}
			for _, f := range found {
				if _, ok := seen[f.Chat]; !ok {
					seen[f.Chat] = struct{}{}
					chats = append(chats, f.Chat)
				}
			}
		}
	}
	return chats, nil
}

type chatFound struct {
	Chat schemas.ChatID `bson:"_id"`
}

// chatsBy groups by chat. It does not use distinct, because MongoDB returns distinct
// values in one document of at most 16 MiB.
func chatsBy(ctx context.Context, of *driver.Collection, field string, user schemas.UserID) ([]chatFound, error) {
	cursor, err := of.Aggregate(ctx, driver.Pipeline{
		{{Key: "$match", Value: bson.D{{Key: field, Value: user}}}},
		{{Key: "$group", Value: bson.D{{Key: "_id", Value: "$chat"}}}},
	})
	if err != nil {
		return nil, err
	}
	var found []chatFound
	err = cursor.All(ctx, &found) // it also closes the cursor
	return found, err
}
