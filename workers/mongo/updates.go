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

// Updates implements workers.Store.
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

// head names the fields of a message or an update that applyUpdates reads.
var head = []string{"chat", "sender_id", "change", "target_message_id", "expires_at"}

// expireWithTargets sets each update to expire with its target, if the target is stored.
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

// heads reads the head of each stored message.
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

// applyUpdates applies the stored updates of messages.
func (s *Store) applyUpdates(ctx context.Context, ids []schemas.MessageID) error {
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
	e := effectsOf(updates, known)
	if len(e.empty) > 0 {
		filter := append(oneOf("_id", e.empty), bson.E{Key: "content", Value: bson.D{{Key: "$ne", Value: ""}}})
		if err := set(ctx, s.messages, filter, "content", ""); err != nil {
			return err
		}
	}
	if len(e.remove) > 0 {
		if _, err := s.updates.DeleteMany(ctx, oneOf("_id", e.remove)); err != nil {
			return err
		}
	}
	for end, of := range e.expire {
		if err := set(ctx, s.updates, oneOf("_id", of), "expires_at", end); err != nil {
			return err
		}
	}
	return nil
}

// effects are the changes that stored updates require.
type effects struct {
	empty  []schemas.MessageID               // deleted messages: remove their content
	remove []schemas.MessageID               // forbidden or superseded updates
	expire map[time.Time][]schemas.MessageID // updates whose time to expire changes
}

// slot is the key of an update: of several with the same slot, only the newest applies.
type slot struct {
	chat   schemas.ChatID
	target schemas.MessageID
	sender schemas.UserID
	change schemas.MessageChange
}

// effectsOf decides what applyUpdates changes. It reads the heads of updates and of their
// known targets.
func effectsOf(updates []document, known map[schemas.MessageID]document) effects {
	newest := make(map[slot]schemas.MessageID)
	deleted := make(map[schemas.MessageID]bool)
	for _, u := range updates {
		at := slot{u.Chat, u.TargetMessageID, u.SenderID, u.Change}
		newest[at] = max(newest[at], u.MessageID)
		if u.Change == schemas.ChangeDelete && allowed(u, known) && known[u.TargetMessageID].MessageID != "" {
			deleted[u.TargetMessageID] = true
		}
	}
	e := effects{expire: make(map[time.Time][]schemas.MessageID)}
	for id := range deleted {
		e.empty = append(e.empty, id)
	}
	for _, u := range updates {
		target, stored := known[u.TargetMessageID]
		switch {
		case !allowed(u, known),
			newest[slot{u.Chat, u.TargetMessageID, u.SenderID, u.Change}] != u.MessageID,
			deleted[u.TargetMessageID] && u.Change != schemas.ChangeDelete:
			e.remove = append(e.remove, u.MessageID)
		case stored && !u.ExpiresAt.Equal(target.ExpiresAt):
			e.expire[target.ExpiresAt] = append(e.expire[target.ExpiresAt], u.MessageID)
		}
	}
	return e
}

// allowed reports whether the sender of the update may change its target. An update whose
// target is unknown is allowed for now.
func allowed(u document, known map[schemas.MessageID]document) bool {
	target, stored := known[u.TargetMessageID]
	return !stored || target.Chat == u.Chat && (u.Change.Window() == 0 || target.SenderID == u.SenderID)
}

// oneOf returns a filter for documents whose field has one of the ids.
func oneOf(field string, ids []schemas.MessageID) bson.D {
	each := slices.Compact(slices.Sorted(slices.Values(ids)))
	return bson.D{{Key: field, Value: bson.D{{Key: "$in", Value: each}}}}
}

func set(ctx context.Context, of *driver.Collection, filter bson.D, field string, value any) error {
	_, err := of.UpdateMany(ctx, filter, bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: value}}}})
	return err
}

// find reads all matches: the named fields, or whole documents.
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
		err = cursor.All(ctx, &found) // it also closes the cursor
	}
	return found, err
}
