package mongo

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// codeNotImplemented is the error of a server that is compatible with MongoDB but does
// not support a kind of index.
const codeNotImplemented = 238

// index is one index of a collection.
type index struct {
	keys bson.D
	ttl  bool
}

// indexesOfMessages has one index for each query. The indexes have MongoDB's default
// names, because an operator may have created the same index before.
//
//   - chat, _id: a page is the last keys of one chat, already in order.
//   - expires_at: the server deletes expired messages by itself, and DeleteExpired
//     finds the rest.
//   - sender_id, chat and receiver_id, chat: these serve Chats without reading a
//     document, at best with one key per chat. An index over an array of both users
//     would not do, because it does not cover a query of that array.
var indexesOfMessages = []index{
	{keys: bson.D{{Key: "chat", Value: 1}, {Key: "_id", Value: -1}}},
	{keys: bson.D{{Key: "expires_at", Value: 1}}, ttl: true},
	{keys: bson.D{{Key: "sender_id", Value: 1}, {Key: "chat", Value: 1}}},
	{keys: bson.D{{Key: "receiver_id", Value: 1}, {Key: "chat", Value: 1}}},
}

// indexesOfUpdates differ in the first two. The index on target_message_id finds the
// updates of messages. The one on chat, target_message_id finds the updates that
// DeleteBetween deletes.
var indexesOfUpdates = []index{
	{keys: bson.D{{Key: "target_message_id", Value: 1}}},
	{keys: bson.D{{Key: "chat", Value: 1}, {Key: "target_message_id", Value: 1}}},
	{keys: bson.D{{Key: "expires_at", Value: 1}}, ttl: true},
	{keys: bson.D{{Key: "sender_id", Value: 1}, {Key: "chat", Value: 1}}},
	{keys: bson.D{{Key: "receiver_id", Value: 1}, {Key: "chat", Value: 1}}},
}

// createIndexes creates the missing indexes, each with its own command, because a command
// creates all of its indexes or none.
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
		s.log.WarnContext(ctx, "the database server has no TTL indexes; only the sweeps of a worker delete expired history", "error", noTTL)
	}
	return nil
}
