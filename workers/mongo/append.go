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

// codeDuplicateKey is the answer to a document whose _id is there already.
const codeDuplicateKey = 11000

// Append stores messages, each once, and updates, as workers.Store says. Its inserts
// are unordered, so that a known message does not keep the ones after it out.
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

// append writes first and then looks what there is besides, and so do others at the
// same time: of two that belong together the later one sees both. It looks also
// where all was known, because whoever wrote it may not have come to that.
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
	return s.settle(ctx, append(ids, targets...))
}

func insert(ctx context.Context, into *driver.Collection, documents []document) error {
	if len(documents) == 0 {
		return nil
	}
	_, err := into.InsertMany(ctx, documents, options.InsertMany().SetOrdered(false))
	return withoutDuplicates(err)
}

// withoutDuplicates is nil where err says nothing but that some documents were
// there already, and otherwise the first thing that is more: the whole may be a
// thousand lines. A write concern that was not met counts even for a batch that
// was known, because then nobody has said that a majority has it.
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
