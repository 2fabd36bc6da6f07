package mongo

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// codeNotImplemented is what a server that only speaks like MongoDB answers when
// asked for an index of a kind that it does not have.
const codeNotImplemented = 238

// index is one index of a collection.
type index struct {
	keys bson.D
	ttl  bool
}

// indexesOfMessages are one for each question. They keep the names that MongoDB gives
// them, because one that an operator made beforehand would clash under another.
//
//   - chat, _id: a page is the last keys of one chat, already in order.
//   - expires_at: the server deletes by itself what is past it, and the sweep
//     that makes sure finds the rest.
//   - sender_id, chat and receiver_id, chat: Chats is answered from the index
//     alone, one key per chat at best and never a document. Two indexes and not
//     one over an array of both users, because an index over an array does not cover
//     a question about that array.
var indexesOfMessages = []index{
	{keys: bson.D{{Key: "chat", Value: 1}, {Key: "_id", Value: -1}}},
	{keys: bson.D{{Key: "expires_at", Value: 1}}, ttl: true},
	{keys: bson.D{{Key: "sender_id", Value: 1}, {Key: "chat", Value: 1}}},
	{keys: bson.D{{Key: "receiver_id", Value: 1}, {Key: "chat", Value: 1}}},
}

// indexesOfUpdates differ in the first: target_message_id is for what was done to
// messages, and chat, target_message_id for what goes with those from before a time.
var indexesOfUpdates = []index{
	{keys: bson.D{{Key: "target_message_id", Value: 1}}},
	{keys: bson.D{{Key: "chat", Value: 1}, {Key: "target_message_id", Value: 1}}},
	{keys: bson.D{{Key: "expires_at", Value: 1}}, ttl: true},
	{keys: bson.D{{Key: "sender_id", Value: 1}, {Key: "chat", Value: 1}}},
	{keys: bson.D{{Key: "receiver_id", Value: 1}, {Key: "chat", Value: 1}}},
}

// createIndexes makes the indexes that are missing, each by a command of its
// own: a command makes all of its indexes or none.
func (s *Store) createIndexes(ctx context.Context) error {
	var noTTL error
	for _, of := range []struct {
		collection *driver.Collection
		indexes    []index
	}{{s.messages, indexesOfMessages}, {s.updates, indexesOfUpdates}} {
		for _, index := range of.indexes {
			opts := options.Index()
			if index.ttl {
				opts.SetExpireAfterSeconds(0)
			}
			_, err := of.collection.Indexes().CreateOne(ctx, driver.IndexModel{Keys: index.keys, Options: opts})
			var refused driver.ServerError
			if index.ttl && errors.As(err, &refused) && refused.HasErrorCode(codeNotImplemented) {
				noTTL = err
				continue
			}
			if err != nil {
				return fmt.Errorf("index %v of %s: %w", index.keys, of.collection.Name(), err)
			}
		}
	}
	if noTTL != nil {
		s.log.WarnContext(ctx, "The database server has no TTL indexes; expired history goes only when it is swept.", "error", noTTL)
	}
	return nil
}
