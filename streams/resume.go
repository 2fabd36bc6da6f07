package streams

import (
	"context"
	"fmt"
	"slices"

	"roost/schemas"
	"roost/streams/cursor"
	"roost/streams/jsapi"
	"roost/streams/receipts"
	"roost/streams/subject"
)

// prepare forgets, in the stream, what the device says it has: everything up to
// the cursor's position. The entries behind it are met by catchUp.
func (b *deviceInbox) prepare(ctx context.Context) error {
	if b.resume.UpTo == 0 {
		return nil
	}
	heads, err := b.headsUpTo(ctx, b.resume.UpTo)
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
		// Not every one of them was acknowledged on an earlier connection.
		marks := make(receipts.Marks)
		if err := b.collect(ctx, heads, marks); err != nil {
			return err
		}
		if err := b.c.receipts.AdvanceAll(ctx, marks); err != nil {
			return err
		}
		if err := b.c.purge(ctx, b.stream, b.subject, b.resume.UpTo); err != nil {
			return fmt.Errorf("failed to remove what the device has: %w", err)
		}
	}
	b.pos, b.newest = b.resume.UpTo, b.resume.UpTo
	return nil
}

// headsUpTo reads the entries up to seq that the inbox still has: seldom any, for
// the last connection removed what was acknowledged.
func (b *deviceInbox) headsUpTo(ctx context.Context, seq uint64) (heads []schemas.EntryHead, err error) {
	for from, n := uint64(0), 1; ; n = schemas.MaxInFlight {
		entries, more, err := b.c.api.Read(ctx, b.stream, b.subject, from, n)
		if err != nil {
			return nil, err
		}
		known := upTo(entries, seq)
		for _, e := range known {
			head, _ := schemas.DecodeEntryHead(e.Data) // one that cannot be read has no sender to tell
			heads = append(heads, head)
		}
		if len(known) == 0 || len(known) < len(entries) || !more {
			return heads, nil
		}
		from = known[len(known)-1].Sequence + 1
	}
}

// created asks when the inbox stream of a partition was made. It may have been
// deleted and made anew while this process ran; nothing is removed on the word of
// a cursor before that is known.
func (cs *Consumers) created(ctx context.Context, p int) (int64, error) {
	info, err := cs.c.api.Stream(ctx, subject.InboxStream(p))
	if err != nil {
		return 0, err
	}
	created := info.Created.UnixNano()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.keys[p] = created
	return created, nil
}

func upTo(entries []jsapi.Message, target uint64) []jsapi.Message {
	i := slices.IndexFunc(entries, func(e jsapi.Message) bool { return e.Sequence > target })
	if i < 0 {
		return entries
	}
	return entries[:i]
}
