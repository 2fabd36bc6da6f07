package streams

import (
	"context"
	"math"

	"roost/streams/subject"
)

// allOnRecord waits until every accepted send is on record.
func (c *Conn) allOnRecord(ctx context.Context) error {
	return c.sendLog.BeforeRemoval(ctx, subject.InboxStream(0), math.MaxUint64)
}

// purge removes the messages of a subject up to seq.
func (c *Conn) purge(ctx context.Context, stream, filter string, seq uint64) error {
	if err := c.sendLog.BeforeRemoval(ctx, stream, seq); err != nil {
		return err
	}
	return c.api.PurgeTo(ctx, stream, filter, seq)
}

// purgeAll removes all messages of a subject, records queued for SENT included.
func (c *Conn) purgeAll(ctx context.Context, stream, filter string) error {
	if err := c.allOnRecord(ctx); err != nil {
		return err
	}
	return c.api.Purge(ctx, stream, filter)
}
