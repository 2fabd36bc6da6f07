package jsapi

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Last reads the newest message of a subject, which may have wildcards. ok is false only
// if the leader of the stream confirms that the subject has none.
func (c *Client) Last(ctx context.Context, stream, filter string) (m Message, ok bool, err error) {
	return c.last(ctx, (*reader).leaderHolds, stream, filter)
}

// Newest is Last, and any replica may confirm that the subject has none: it is cheaper,
// and may be a moment old.
func (c *Client) Newest(ctx context.Context, stream, filter string) (m Message, ok bool, err error) {
	return c.last(ctx, (*reader).anyHolds, stream, filter)
}

func (c *Client) last(ctx context.Context, holds holdsFunc, stream, filter string) (m Message, ok bool, err error) {
	err = c.withReader(ctx, func(r *reader) error {
		all, err := r.last(ctx, holds, stream, filter)
		if len(all) > 0 {
			m, ok = all[0], true
		}
		return err
	})
	return m, ok, err
}

// LastUntil reads the newest message of a subject that was stored at or before t; the
// zero time is now.
func (c *Client) LastUntil(ctx context.Context, stream, filter string, t time.Time) (m Message, ok bool, err error) {
	if t.IsZero() {
		return c.Last(ctx, stream, filter)
	}
	until := t.Add(1) // the server returns messages stored before that time
	err = c.withReader(ctx, func(r *reader) error {
		all, _, err := r.get(ctx, stream, directRequest{MultiLast: []string{filter}, UpToTime: &until, Batch: 1})
		if len(all) > 0 {
			m, ok = all[0], true
		}
		return err
	})
	return m, ok, err
}

// Lasts reads the newest message of each subject that has one, in no order.
func (c *Client) Lasts(ctx context.Context, stream string, subjects []string) (all []Message, err error) {
	for some := range slices.Chunk(subjects, MaxSubjects) {
		err := c.withReader(ctx, func(r *reader) error {
			found, more, err := r.get(ctx, stream, directRequest{MultiLast: some, Batch: MaxSubjects, MaxBytes: maxLastBytes})
			if err == nil && more {
				err = fmt.Errorf("%w: the newest messages of %d subjects of %s are more than %d MiB", errReaderFault, len(some), stream, maxLastBytes>>20)
			}
			all = append(all, found...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Read reads up to n messages of a subject, at most 1 MiB, from sequence from on; 0 is
// the first. more says that the subject holds further ones. It returns none, and no
// error, only if the stream confirms that the subject has none from there on.
func (c *Client) Read(ctx context.Context, stream, filter string, from uint64, n int) (all []Message, more bool, err error) {
	return c.ReadBytes(ctx, stream, filter, from, n, maxReadBytes)
}

// ReadBytes is Read with another bound in bytes.
func (c *Client) ReadBytes(ctx context.Context, stream, filter string, from uint64, n, size int) (all []Message, more bool, err error) {
	return c.forward(ctx, stream, directRequest{Seq: from, NextFor: filter, Batch: n, MaxBytes: size})
}

// First reads the first message of a subject from sequence from on. It costs the server
// less than a batch of one.
func (c *Client) First(ctx context.Context, stream, filter string, from uint64) (m Message, ok bool, err error) {
	all, _, err := c.forward(ctx, stream, directRequest{Seq: from, NextFor: filter})
	if len(all) > 0 {
		m, ok = all[0], true
	}
	return m, ok, err
}

// ReadSince reads up to n messages of a subject that were stored at or after t.
func (c *Client) ReadSince(ctx context.Context, stream, filter string, t time.Time, n int) (all []Message, more bool, err error) {
	err = c.withReader(ctx, func(r *reader) error {
		start, err := r.sequenceAt(ctx, stream, t)
		if err != nil {
			return err
		}
		all, more, err = r.readFrom(ctx, stream, filter, start, t, n)
		return err
	})
	return all, more, err
}

// SequenceAt is the sequence of the first message of a stream that was stored at or after
// t, or 0 if the stream says that there is none.
func (c *Client) SequenceAt(ctx context.Context, stream string, t time.Time) (start uint64, err error) {
	err = c.withReader(ctx, func(r *reader) error {
		start, err = r.sequenceAt(ctx, stream, t)
		return err
	})
	return start, err
}

// readFrom reads up to n messages of a subject that were stored at or after t, of which
// sequenceAt returned start.
func (r *reader) readFrom(ctx context.Context, stream, filter string, start uint64, t time.Time, n int) (all []Message, more bool, err error) {
	req := directRequest{NextFor: filter, Seq: start, Batch: n, MaxBytes: maxReadBytes}
	if start == 0 {
		req.StartTime = &t
	}
	return r.forward(ctx, stream, req)
}

func (c *Client) forward(ctx context.Context, stream string, req directRequest) (all []Message, more bool, err error) {
	err = c.withReader(ctx, func(r *reader) error {
		all, more, err = r.forward(ctx, stream, req)
		return err
	})
	return all, more, err
}

// Pages reads the messages of a subject in their order from sequence from on, up to n at
// a time, to the end. No page is empty. An error ends it.
func (c *Client) Pages(ctx context.Context, stream, filter string, from uint64, n int) iter.Seq2[[]Message, error] {
	return c.pages(ctx, stream, filter, n, func() ([]Message, bool, error) { return c.Read(ctx, stream, filter, from, n) })
}

// PagesSince is Pages of the messages that were stored at or after t, of which SequenceAt
// returned start.
func (c *Client) PagesSince(ctx context.Context, stream, filter string, start uint64, t time.Time, n int) iter.Seq2[[]Message, error] {
	return c.pages(ctx, stream, filter, n, func() (all []Message, more bool, err error) {
		err = c.withReader(ctx, func(r *reader) error {
			all, more, err = r.readFrom(ctx, stream, filter, start, t, n)
			return err
		})
		return all, more, err
	})
}

func (c *Client) pages(ctx context.Context, stream, filter string, n int, first func() ([]Message, bool, error)) iter.Seq2[[]Message, error] {
	return func(yield func([]Message, error) bool) {
		page, more, err := first()
		for {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(page) == 0 || !yield(page, nil) || !more {
				return
			}
			page, more, err = c.Read(ctx, stream, filter, page[len(page)-1].Sequence+1, n)
		}
	}
}

// Messages is Pages, one message after the other.
func (c *Client) Messages(ctx context.Context, stream, filter string, from uint64, n int) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for page, err := range c.Pages(ctx, stream, filter, from, n) {
			if err != nil {
				yield(Message{}, err)
				return
			}
			for _, m := range page {
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}
