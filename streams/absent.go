package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roost/streams/subject"
)

// A read of a stream has three outcomes: found, not found, failed. NATS has two. It
// answers 404 also when it cannot open or decode the block that holds the message: no
// file descriptor is left, the disk fails, the file is damaged, the store closes. So a
// 404 is never believed. It is compared with the index of subjects, which the server
// keeps in memory. Where absence is final for a user, there is no such user say, that of
// the stream's leader counts, so that a replica which lags says nothing false either. A
// read that finds something costs nothing more.

// ErrUnreadable means that a stream holds a message and failed to read it, or that a
// replica does not have it yet. A later read may succeed.
var ErrUnreadable = errors.New("the stream holds a message that it could not read")

// holdsFunc says whether the index of a stream has a subject, which may have wildcards.
type holdsFunc func(r *reader, ctx context.Context, stream, subject string) (bool, error)

// last is the newest message of a subject; none if holds confirms that it has none.
func (r *reader) last(ctx context.Context, holds holdsFunc, stream, subject string) (all []stored, err error) {
	for range 2 { // it may be written between a read and the look at the index
		all, _, err = r.get(ctx, stream, directRequest{LastFor: subject})
		if !errors.Is(err, errNoMessage) {
			return all, err
		}
		held, err := holds(r, ctx, stream, subject)
		if err != nil {
			return nil, err
		}
		if !held {
			return nil, nil
		}
	}
	return nil, fmt.Errorf("%w: subject %s of %s", ErrUnreadable, subject, stream)
}

// forward reads messages of a subject in their order.
func (r *reader) forward(ctx context.Context, stream string, req directRequest) (all []stored, more bool, err error) {
	for range 2 {
		all, more, err = r.get(ctx, stream, req)
		if !errors.Is(err, errNoMessage) {
			return all, more, err
		}
		held, err := r.holdsFrom(ctx, stream, req)
		if err != nil {
			return nil, false, err
		}
		if !held {
			return nil, false, nil
		}
	}
	return nil, false, fmt.Errorf("%w: subject %s of %s", ErrUnreadable, req.NextFor, stream)
}

// leaderHolds says whether the index of the stream's leader has a subject.
func (r *reader) leaderHolds(ctx context.Context, stream, subject string) (bool, error) {
	if r.single { // any answer is the leader's, and this one costs a fifth
		return r.anyHolds(ctx, stream, subject)
	}
	held, err := heldSubjects(ctx, r.nc, stream, subject)
	return len(held) > 0, err
}

// anyHolds says whether the index of the replica that answers has a subject.
func (r *reader) anyHolds(ctx context.Context, stream, subject string) (bool, error) {
	return r.holdsFrom(ctx, stream, directRequest{NextFor: subject})
}

// sequenceAt is the sequence of the first message of a stream that was stored at or
// after t, or 0 where the stream says that there is none. The server skips a block that
// it cannot read when it looks for a time, so the message before is compared.
func (r *reader) sequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error) {
	for range 2 { // the message may be removed in between
		first, _, err := r.get(ctx, stream, directRequest{NextFor: ">", StartTime: &t})
		if errors.Is(err, errNoMessage) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		from := first[0].sequence
		if from <= 1 {
			return from, nil
		}
		before, _, err := r.get(ctx, stream, directRequest{NextFor: ">", Seq: from - 1})
		switch {
		case errors.Is(err, errNoMessage):
		case err != nil:
			return 0, err
		case before[0].sequence >= from || before[0].time.Before(t):
			return from, nil
		}
	}
	return 0, fmt.Errorf("%w: what %s stored at %v", ErrUnreadable, stream, t)
}

// holdsFrom says whether a stream holds messages that a read should have found. Either
// it knows so from memory, or the message that proves it could be read.
func (r *reader) holdsFrom(ctx context.Context, stream string, req directRequest) (bool, error) {
	batch := 1 // any one from the sequence on proves it
	if req.StartTime != nil {
		batch = maxMultiLast
	}
	newest := func(subjects []string) (held bool, err error) {
		last, _, err := r.get(ctx, stream, directRequest{Seq: req.Seq, MultiLast: subjects, Batch: batch, MaxBytes: maxMultiBytes})
		return slices.ContainsFunc(last, func(m stored) bool { return req.StartTime == nil || !m.time.Before(*req.StartTime) }), err
	}
	held, err := newest([]string{req.NextFor})
	if !errors.Is(err, errTooMany) {
		return held, unreadable(err)
	}
	subjects, err := heldSubjects(ctx, r.nc, stream, req.NextFor)
	if err != nil {
		return false, err
	}
	for some := range slices.Chunk(subjects, maxMultiLast) {
		if held, err := newest(some); held || err != nil {
			return held, unreadable(err)
		}
	}
	return false, nil
}

func unreadable(err error) error {
	if errors.Is(err, errNoMessage) {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return err
}

// heldSubjects are the subjects within a pattern of which a stream holds messages, as the
// index of its leader says.
func heldSubjects(ctx context.Context, nc *nats.Conn, stream, pattern string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var subjects []string
	for {
		body, err := json.Marshal(map[string]any{"subjects_filter": pattern, "offset": len(subjects)})
		if err != nil {
			return nil, fmt.Errorf("failed to encode a request for the subjects of %s: %w", stream, err)
		}
		m, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+stream, body)
		if err != nil {
			return nil, fmt.Errorf("failed to look up the subjects of %s: %w", stream, err)
		}
		var answer struct {
			Error *apiError `json:"error"`
			Total int       `json:"total"`
			State *struct {
				Subjects map[string]uint64 `json:"subjects"`
			} `json:"state"`
		}
		if err := json.Unmarshal(m.Data, &answer); err != nil {
			return nil, fmt.Errorf("failed to read the subjects of %s: %w", stream, err)
		}
		if e := answer.Error; e != nil {
			return nil, fmt.Errorf("failed to look up the subjects of %s: %s (%d)", stream, e.Description, e.Code)
		}
		if answer.State == nil {
			return nil, fmt.Errorf("failed to look up the subjects of %s: the answer has no state", stream)
		}
		subjects = slices.AppendSeq(subjects, maps.Keys(answer.State.Subjects))
		if len(answer.State.Subjects) == 0 || len(subjects) >= answer.Total {
			return subjects, nil
		}
	}
}

// checkedBucket is a bucket whose Get has three outcomes as well: a record,
// [jetstream.ErrKeyNotFound], which was confirmed, and any other error. All buckets are
// opened by [Conn.bucket].
type checkedBucket struct {
	jetstream.KeyValue
	c      *Conn
	leader bool // it confirms; else any replica, or the one server of single-process mode, which is cheaper
}

// confirmedByLeader are the buckets in which absence is final for a user. In the others
// it stands for a default, or a compare-and-set follows, or it may be a moment old.
var confirmedByLeader = []subject.Bucket{subject.Accounts, subject.Devices, subject.Groups, subject.Keys}

// bucket opens a bucket.
func (c *Conn) bucket(ctx context.Context, name subject.Bucket) (jetstream.KeyValue, error) {
	kv, err := c.js.KeyValue(ctx, string(name))
	if err != nil {
		return nil, fmt.Errorf("failed to open bucket %s: %w", name, err)
	}
	return checkedBucket{kv, c, slices.Contains(confirmedByLeader, name) && !c.opts.Alone}, nil
}

// Get implements [jetstream.KeyValue].
func (b checkedBucket) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	e, err := b.KeyValue.Get(ctx, key)
	if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return e, err
	}
	stream, subject := subject.Bucket(b.Bucket()).Stream(), subject.Bucket(b.Bucket()).Subject(key)
	held, err := b.holds(ctx, stream, subject)
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, jetstream.ErrKeyNotFound
	}
	return b.getHeld(ctx, stream, subject, key)
}

// holds says whether the index of the bucket has a subject.
func (b checkedBucket) holds(ctx context.Context, stream, subject string) (held bool, err error) {
	if b.leader {
		err = b.c.withAPI(ctx, func(ctx context.Context) error {
			subjects, err := heldSubjects(ctx, b.c.control, stream, subject)
			held = len(subjects) > 0
			return err
		})
		return held, err
	}
	err = b.c.readers.with(ctx, func(r *reader) (err error) {
		held, err = r.holdsFrom(ctx, stream, directRequest{NextFor: subject})
		return err
	})
	return held, err
}

// getHeld reads a key of which the stream holds something: the mark of a deletion, a
// record that was written in between, or one that could not be read.
func (b checkedBucket) getHeld(ctx context.Context, stream, subject, key string) (jetstream.KeyValueEntry, error) {
	s, err := b.c.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("failed to look up %s: %w", stream, err)
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, fmt.Errorf("%w: subject %s of %s", ErrUnreadable, subject, stream)
	case err != nil:
		return nil, fmt.Errorf("failed to read %s: %w", subject, err)
	case len(m.Data) == 0: // no record is empty
		return nil, jetstream.ErrKeyNotFound
	}
	e, err := b.KeyValue.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, fmt.Errorf("%w: subject %s of %s", ErrUnreadable, subject, stream)
	}
	return e, err
}
