package mongo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"roost/schemas"
)

// Updates returns what was done to messages, as workers.Store says.
func (s *Store) Updates(ctx context.Context, chat schemas.ChatID, targets []schemas.MessageID) ([]schemas.Message, error) {
	if len(targets) == 0 {
		return nil, nil
	}
	filter := append(bson.D{{Key: "chat", Value: chat}}, oneOf("target_message_id", targets)...)
	found, err := find(ctx, s.updates, filter)
	if err != nil {
		return nil, fmt.Errorf("failed to read the updates of messages from MongoDB: %w", err)
	}
	return messagesOf(found), nil
}

// head is what settle needs to know of a message or an update.
var head = []string{"chat", "sender_id", "change", "target_message_id", "expires_at"}

// expireWithTargets has updates expire with their targets, as far as these are there.
func (s *Store) expireWithTargets(ctx context.Context, updates []document, targets []schemas.MessageID) error {
	if len(updates) == 0 {
		return nil
	}
	known, err := s.heads(ctx, targets)
	if err != nil {
		return err
	}
	for i := range updates {
		if target, ok := known[updates[i].TargetMessageID]; ok {
			updates[i].ExpiresAt = target.ExpiresAt
		}
	}
	return nil
}

// heads are those of the messages that are there.
func (s *Store) heads(ctx context.Context, ids []schemas.MessageID) (map[schemas.MessageID]document, error) {
	found, err := find(ctx, s.messages, oneOf("_id", ids), head...)
	if err != nil {
		return nil, err
	}
	known := make(map[schemas.MessageID]document, len(found))
	for _, d := range found {
		known[d.MessageID] = d
	}
	return known, nil
}

// settle brings messages and their updates together, whichever of them is new.
func (s *Store) settle(ctx context.Context, ids []schemas.MessageID) error {
	updates, err := find(ctx, s.updates, oneOf("target_message_id", ids), head...)
	if err != nil || len(updates) == 0 {
		return err
	}
	targets := make([]schemas.MessageID, len(updates))
	for i := range updates {
		targets[i] = updates[i].TargetMessageID
	}
	known, err := s.heads(ctx, targets)
	if err != nil {
		return err
	}
	v := judge(updates, known)
	if len(v.deleted) > 0 {
		filter := append(oneOf("_id", v.deleted), bson.E{Key: "content", Value: bson.D{{Key: "$ne", Value: ""}}})
		if err := set(ctx, s.messages, filter, "content", ""); err != nil {
			return err
		}
	}
	if len(v.dropped) > 0 {
		if _, err := s.updates.DeleteMany(ctx, oneOf("_id", v.dropped)); err != nil {
			return err
		}
	}
	for end, of := range v.expire {
		if err := set(ctx, s.updates, oneOf("_id", of), "expires_at", end); err != nil {
			return err
		}
	}
	return nil
}

// verdict is what follows from messages and updates that are there.
type verdict struct {
	deleted []schemas.MessageID               // messages to be left without content
	dropped []schemas.MessageID               // updates that do not count any more
	expire  map[time.Time][]schemas.MessageID // updates that expire at another time
}

// slot is what one update of each counts for.
type slot struct {
	chat   schemas.ChatID
	target schemas.MessageID
	sender schemas.UserID
	change schemas.MessageChange
}

func judge(updates []document, known map[schemas.MessageID]document) verdict {
	newest := make(map[slot]schemas.MessageID)
	deleted := make(map[schemas.MessageID]bool)
	for _, u := range updates {
		at := slot{u.Chat, u.TargetMessageID, u.SenderID, u.Change}
		newest[at] = max(newest[at], u.MessageID)
		if u.Change == schemas.ChangeDelete && counts(u, known) && known[u.TargetMessageID].MessageID != "" {
			deleted[u.TargetMessageID] = true
		}
	}
	v := verdict{expire: make(map[time.Time][]schemas.MessageID)}
	for id := range deleted {
		v.deleted = append(v.deleted, id)
	}
	for _, u := range updates {
		target, there := known[u.TargetMessageID]
		switch {
		case !counts(u, known),
			newest[slot{u.Chat, u.TargetMessageID, u.SenderID, u.Change}] != u.MessageID,
			deleted[u.TargetMessageID] && u.Change != schemas.ChangeDelete:
			v.dropped = append(v.dropped, u.MessageID)
		case there && !u.ExpiresAt.Equal(target.ExpiresAt):
			v.expire[target.ExpiresAt] = append(v.expire[target.ExpiresAt], u.MessageID)
		}
	}
	return v
}

// counts says whether the update may be made, as far as its target is known.
func counts(u document, known map[schemas.MessageID]document) bool {
	target, there := known[u.TargetMessageID]
	return !there || target.Chat == u.Chat && (u.Change.Window() == 0 || target.SenderID == u.SenderID)
}

// oneOf names each id once.
func oneOf(field string, ids []schemas.MessageID) bson.D {
	each := slices.Compact(slices.Sorted(slices.Values(ids)))
	return bson.D{{Key: field, Value: bson.D{{Key: "$in", Value: each}}}}
}

func set(ctx context.Context, of *driver.Collection, filter bson.D, field string, value any) error {
	_, err := of.UpdateMany(ctx, filter, bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: value}}}})
	return err
}

// find reads all that matches: the fields that are named, or whole documents.
func find(ctx context.Context, of *driver.Collection, filter bson.D, fields ...string) (found []document, err error) {
	opts := options.Find()
	if len(fields) > 0 {
		projection := make(bson.D, len(fields))
		for i, field := range fields {
			projection[i] = bson.E{Key: field, Value: 1}
		}
		opts.SetProjection(projection)
	}
	cursor, err := of.Find(ctx, filter, opts)
	if err == nil {
		err = cursor.All(ctx, &found) // which closes it
	}
	return found, err
}
