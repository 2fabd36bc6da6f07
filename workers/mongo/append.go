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

// Append stores messages, each once, as workers.Store says. Its inserts are
// unordered, so that a known message does not keep the ones after it out.
func (s *Store) Append(ctx context.Context, messages []schemas.Message) error {
	if err := s.ensureIndexes(ctx); err != nil {
		return fmt.Errorf("failed to append to history in MongoDB: %w", err)
	}
	for batch := range slices.Chunk(messages, batchSize) {
		documents := make([]document, len(batch))
		for i := range batch {
			documents[i] = newDocument(&batch[i])
		}
		_, err := s.messages.InsertMany(ctx, documents, options.InsertMany().SetOrdered(false))
		if err := withoutDuplicates(err); err != nil {
			return fmt.Errorf("failed to append to history in MongoDB: %w", err)
		}
	}
	return nil
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
