package jsapi

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"roost/streams/subject"
)

// bucket is a bucket whose Get has three outcomes: a record, a confirmed
// [jetstream.ErrKeyNotFound], or any other error.
type bucket struct {
	jetstream.KeyValue
	c      *Client
	leader bool // it confirms; else any replica, or the one server, which is cheaper
}

// confirmedByLeader lists the buckets in which absence is final for a user. In the
// others absence means a default, or a compare-and-set follows, or the answer may be a
// moment old.
var confirmedByLeader = []subject.Bucket{subject.Accounts, subject.Devices, subject.Groups, subject.Keys}

// Bucket opens a bucket. Its Get answers [jetstream.ErrKeyNotFound] only if the absence
// of the key is confirmed.
func (c *Client) Bucket(ctx context.Context, name subject.Bucket) (jetstream.KeyValue, error) {
	kv, err := c.JS.KeyValue(ctx, string(name))
	if err != nil {
		return nil, fmt.Errorf("failed to open bucket %s: %w", name, err)
	}
	return bucket{kv, c, slices.Contains(confirmedByLeader, name) && !c.single}, nil
}

// Get implements [jetstream.KeyValue].
func (b bucket) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	e, err := b.KeyValue.Get(ctx, key)
	if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return e, err
	}
	stream, filter := subject.Bucket(b.Bucket()).Stream(), subject.Bucket(b.Bucket()).Subject(key)
	held, err := b.holds(ctx, stream, filter)
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, jetstream.ErrKeyNotFound
	}
	return b.getHeld(ctx, stream, filter, key)
}

// holds reports whether the index of the bucket has a subject.
func (b bucket) holds(ctx context.Context, stream, filter string) (held bool, err error) {
	if b.leader {
		err = b.c.Do(ctx, func(ctx context.Context) error {
			subjects, err := heldSubjects(ctx, b.c.control, stream, filter)
			held = len(subjects) > 0
			return err
		})
		return held, err
	}
	err = b.c.withReader(ctx, func(r *reader) (err error) {
		held, err = r.holdsFrom(ctx, stream, directRequest{NextFor: filter})
		return err
	})
	return held, err
}

// getHeld reads a key of which the stream holds a message: the mark of a deletion, a
// record that was written in between, or one that could not be read.
func (b bucket) getHeld(ctx context.Context, stream, filter, key string) (jetstream.KeyValueEntry, error) {
	s, err := b.c.JS.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("failed to look up %s: %w", stream, err)
	}
	m, err := s.GetLastMsgForSubject(ctx, filter)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, fmt.Errorf("%w: subject %s of %s", ErrUnreadable, filter, stream)
	case err != nil:
		return nil, fmt.Errorf("failed to read %s: %w", filter, err)
	case len(m.Data) == 0: // no record is empty
		return nil, jetstream.ErrKeyNotFound
	}
	e, err := b.KeyValue.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, fmt.Errorf("%w: subject %s of %s", ErrUnreadable, filter, stream)
	}
	return e, err
}
