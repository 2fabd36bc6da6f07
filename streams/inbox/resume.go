package inbox

import (
	"context"
	"fmt"
	"slices"

	"roost/schemas"
	"roost/streams/cursor"
	"roost/streams/jsapi"
	"roost/streams/receipts"
)

// prepare removes the entries from the stream that the device said it has: all up to the
// position of its cursor. The source skips those after the position.
func (b *deviceConsumer) prepare(ctx context.Context) error {
	if b.resume.UpTo == 0 {
		return nil
	}
	heads, err := b.owner.headsUpTo(ctx, b.stream, b.subject, b.resume.UpTo)
	if err != nil {
		return err
	}
	if len(heads) > 0 {
		created, err := b.owner.created(ctx, b.partition)
		if err != nil {
			return err
		}
		if key := cursor.NewKey(b.addr, created); key != b.key {
			b.key, b.resume = key, cursor.Position{}
			return nil
		}
		// The device may not have acknowledged all of them on an earlier connection.
		marks := make(receipts.Marks)
		if err := b.owner.collectMarks(ctx, b.addr.User, heads, marks); err != nil {
			return err
		}
		if err := b.owner.opts.Receipts.AdvanceAll(ctx, marks); err != nil {
			return err
		}
		if err := b.owner.purge(ctx, b.stream, b.subject, b.resume.UpTo); err != nil {
			return fmt.Errorf("failed to remove the entries that the device has: %w", err)
		}
	}
	b.pos, b.newest = b.resume.UpTo, b.resume.UpTo
	return nil
}

// headsUpTo reads the entries up to seq that an inbox still has. There are seldom any: the
// last connection removed acknowledged entries.
func (cs *Consumers) headsUpTo(ctx context.Context, stream, filter string, seq uint64) (heads []schemas.EntryHead, err error) {
	for from, n := uint64(0), 1; ; n = schemas.MaxInFlight {
		entries, more, err := cs.opts.API.Read(ctx, stream, filter, from, n)
		if err != nil {
			return nil, err
		}
		known := upTo(entries, seq)
		for _, e := range known {
			head, _ := schemas.DecodeEntryHead(e.Data) // an unreadable one has no sender
			heads = append(heads, head)
		}
		if len(known) == 0 || len(known) < len(entries) || !more {
			return heads, nil
		}
		from = known[len(known)-1].Sequence + 1
	}
}

func upTo(entries []jsapi.Message, target uint64) []jsapi.Message {
	i := slices.IndexFunc(entries, func(e jsapi.Message) bool { return e.Sequence > target })
	if i < 0 {
		return entries
	}
	return entries[:i]
}
