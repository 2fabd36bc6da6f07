package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"roost/schemas"
)

// codeDuplicateKey is MongoDB's error for a document whose _id exists.
const codeDuplicateKey = 11000

// Append implements workers.Store. Its inserts are unordered, so a stored message does not
// stop the insert of later ones.
func (s *Store) Append(ctx context.Context, messages []schemas.Message) error {
	if err := s.ensureIndexes(ctx); err != nil {
		return fmt.Errorf("failed to append to history in MongoDB: %w", err)
	}
	for batch := range slices.Chunk(messages, batchSize) {
		if err := s.append(ctx, batch); err != nil {
			return fmt.Errorf("failed to append to history in MongoDB: %w", err)
		}
	}
	return nil
}

// append writes first and then applies the stored updates. Other workers do so at the same
// time: after they write a message and its update, the later of the two reads both. It
// applies updates even if the whole batch was stored before, because the worker that
// stored it may have crashed before it applied them.
func (s *Store) append(ctx context.Context, batch []schemas.Message) error {
	var messages, updates []document
	var ids, targets []schemas.MessageID
	for i := range batch {
		m := &batch[i]
		if m.IsUpdate() {
			updates, targets = append(updates, newDocument(m)), append(targets, m.TargetMessageID)
		} else {
			messages, ids = append(messages, newDocument(m)), append(ids, m.MessageID)
		}
	}
	if err := insert(ctx, s.messages, messages); err != nil {
		return err
	}
	if err := s.expireWithTargets(ctx, updates, targets); err != nil {
		return err
	}
	if err := insert(ctx, s.updates, updates); err != nil {
		return err
	}
	return s.applyUpdates(ctx, append(ids, targets...))
}

func insert(ctx context.Context, into *driver.Collection, documents []document) error {
	if len(documents) == 0 {
		return nil
	}
	_, err := into.InsertMany(ctx, documents, options.InsertMany().SetOrdered(false))
	return withoutDuplicates(err)
}

// withoutDuplicates returns nil if err only reports that documents exist. Otherwise it
// returns the first other error; all of them could fill a thousand lines. An unmet write
// concern is an error even if the whole batch exists, because then no majority has
// confirmed it.
func withoutDuplicates(err error) error {
	var bulk driver.BulkWriteException
	if !errors.As(err, &bulk) {
		return err
	}
	for _, e := range bulk.WriteErrors {
		if e.Code != codeDuplicateKey {
			return e
		}
	}
	if bulk.WriteConcernError != nil {
		return bulk.WriteConcernError
	}
	if len(bulk.WriteErrors) == 0 {
		return err
	}
	return nil
}
