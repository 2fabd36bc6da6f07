package streams

import (
	"context"
	"slices"
	"time"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Missing returns the inboxes of to that do not hold the message now, in their order.
// recorded is the earliest time at which a copy can have been stored, by the clock of
// this process or of NATS. The deduplication window of the stream is too short for that.
//
// It is made for many inboxes: a few answers bring the newest entry of each. If that is
// another entry, Missing reads the entries stored since recorded, and none older.
func (c *Conn) Missing(ctx context.Context, id schemas.MessageID, recorded time.Time, to []subject.Address) ([]subject.Address, error) {
	const slack = 10 * time.Minute // between clocks
	held := make(map[subject.Address]bool, len(to))
	for p, some := range c.byPartition(to) {
		if err := c.holding(ctx, p, id, recorded.Add(-slack), some, held); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(to), func(a subject.Address) bool { return held[a] }), nil
}

func (c *Conn) byPartition(to []subject.Address) map[int][]subject.Address {
	parts := make(map[int][]subject.Address)
	for _, a := range to {
		p := c.partition(a.User)
		parts[p] = append(parts[p], a)
	}
	return parts
}

// holding marks in held the inboxes of a partition that have a message stored at t or
// later.
func (c *Conn) holding(ctx context.Context, p int, id schemas.MessageID, t time.Time, to []subject.Address, held map[subject.Address]bool) error {
	first, _, err := c.api.ReadSince(ctx, subject.InboxStream(p), subject.AllInboxes(p), t, 1)
	if err != nil || len(first) == 0 {
		return err
	}
	subjects, newest := make([]string, len(to)), make(map[string]jsapi.Message, len(to))
	for i, a := range to {
		subjects[i] = subject.Inbox(p, a)
	}
	lasts, err := c.api.Lasts(ctx, subject.InboxStream(p), subjects)
	if err != nil {
		return err
	}
	for _, m := range lasts {
		newest[m.Subject] = m
	}
	var open []subject.Address
	for i, a := range to {
		m, ok := newest[subjects[i]]
		switch {
		case !ok || m.Sequence < first[0].Sequence:
		case holdsMessage(m, id):
			held[a] = true
		default:
			open = append(open, a)
		}
	}
	found := make([]bool, len(open))
	err = jsapi.Parallel(ctx, len(open), func(ctx context.Context, i int) (err error) {
		found[i], err = c.holdsFrom(ctx, open[i], id, first[0].Sequence)
		return err
	})
	for i, a := range open {
		held[a] = found[i]
	}
	return err
}

// singleReads is how many entries of an inbox holdsFrom reads one by one. To begin a
// batch in the middle of a stream, the server counts the rest of a block.
const singleReads = 8

// holdsFrom reports whether an inbox has a message at sequence seq or later.
func (c *Conn) holdsFrom(ctx context.Context, a subject.Address, id schemas.MessageID, seq uint64) (bool, error) {
	p := c.partition(a.User)
	stream, filter := subject.InboxStream(p), subject.Inbox(p, a)
	for range singleReads {
		m, ok, err := c.api.First(ctx, stream, filter, seq)
		if err != nil || !ok || holdsMessage(m, id) {
			return ok && err == nil, err
		}
		seq = m.Sequence + 1
	}
	return c.holdsInPages(ctx, stream, filter, id, seq)
}

func (c *Conn) holdsInPages(ctx context.Context, stream, filter string, id schemas.MessageID, from uint64) (bool, error) {
	for m, err := range c.api.Messages(ctx, stream, filter, from, schemas.MaxInFlight) {
		if err != nil || holdsMessage(m, id) {
			return err == nil, err
		}
	}
	return false, nil
}

// holdsMessage reports whether an entry is the message with that id.
func holdsMessage(m jsapi.Message, id schemas.MessageID) bool {
	head, err := schemas.DecodeEntryHead(m.Data)
	return err == nil && head.MessageID == id
}
