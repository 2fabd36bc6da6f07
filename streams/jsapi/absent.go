package jsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// This file confirms that a message is absent; the documentation of the package says why.

// ErrUnreadable means that a stream holds a message and failed to read it, or that a
// replica does not have it yet. A later read may succeed.
var ErrUnreadable = errors.New("the stream holds a message that it could not read")

// holdsFunc reports whether the index of a stream has a subject, which may have
// wildcards.
type holdsFunc func(r *reader, ctx context.Context, stream, filter string) (bool, error)

// last reads the newest message of a subject; none if holds confirms that it has none.
func (r *reader) last(ctx context.Context, holds holdsFunc, stream, filter string) (all []Message, err error) {
	for range 2 { // it may be written between a read and the look at the index
		all, _, err = r.get(ctx, stream, directRequest{LastFor: filter})
		if !errors.Is(err, errNoMessage) {
			return all, err
		}
		held, err := holds(r, ctx, stream, filter)
		if err != nil {
			return nil, err
		}
		if !held {
			return nil, nil
		}
	}
	return nil, fmt.Errorf("%w: subject %s of %s", ErrUnreadable, filter, stream)
}

// forward reads messages of a subject in their order.
func (r *reader) forward(ctx context.Context, stream string, req directRequest) (all []Message, more bool, err error) {
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

// leaderHolds reports whether the index of the stream's leader has a subject.
func (r *reader) leaderHolds(ctx context.Context, stream, filter string) (bool, error) {
	if r.single { // any answer is the leader's, and this one costs a fifth
		return r.anyHolds(ctx, stream, filter)
	}
	held, err := heldSubjects(ctx, r.nc, stream, filter)
	return len(held) > 0, err
}

// anyHolds reports whether the index of the replica that answers has a subject.
func (r *reader) anyHolds(ctx context.Context, stream, filter string) (bool, error) {
	return r.holdsFrom(ctx, stream, directRequest{NextFor: filter})
}

// sequenceAt returns the sequence of the first message of a stream that was stored at or
// after t, or 0 if the stream says that there is none. The server skips a block that it
// cannot read when it looks for a time. So sequenceAt also compares the message before.
func (r *reader) sequenceAt(ctx context.Context, stream string, t time.Time) (uint64, error) {
	for range 2 { // the message may be removed in between
		first, _, err := r.get(ctx, stream, directRequest{NextFor: ">", StartTime: &t})
		if errors.Is(err, errNoMessage) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		from := first[0].Sequence
		if from <= 1 {
			return from, nil
		}
		before, _, err := r.get(ctx, stream, directRequest{NextFor: ">", Seq: from - 1})
		switch {
		case errors.Is(err, errNoMessage):
		case err != nil:
			return 0, err
		case before[0].Sequence >= from || before[0].Time.Before(t):
			return from, nil
		}
	}
	return 0, fmt.Errorf("%w: the messages that %s stored at %v", ErrUnreadable, stream, t)
}

// holdsFrom reports whether a stream holds messages that a read should have found.
// Either the stream knows so from memory, or the message that proves it could be read.
func (r *reader) holdsFrom(ctx context.Context, stream string, req directRequest) (bool, error) {
	batch := 1 // any one from the sequence on proves it
	if req.StartTime != nil {
		batch = MaxSubjects
	}
	newest := func(subjects []string) (held bool, err error) {
		last, _, err := r.get(ctx, stream, directRequest{Seq: req.Seq, MultiLast: subjects, Batch: batch, MaxBytes: maxLastBytes})
		return slices.ContainsFunc(last, func(m Message) bool { return req.StartTime == nil || !m.Time.Before(*req.StartTime) }), err
	}
	held, err := newest([]string{req.NextFor})
	if !errors.Is(err, errTooMany) {
		return held, unreadable(err)
	}
	subjects, err := heldSubjects(ctx, r.nc, stream, req.NextFor)
	if err != nil {
		return false, err
	}
	for some := range slices.Chunk(subjects, MaxSubjects) {
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

// heldSubjects returns the subjects within a pattern of which a stream holds messages,
// by the index of its leader.
func heldSubjects(ctx context.Context, nc *nats.Conn, stream, pattern string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
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
			Error *Error `json:"error"`
			Total int    `json:"total"`
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
