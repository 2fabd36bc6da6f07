package streams

import (
	"context"
	"math"

	"roost/schemas"
	"roost/streams/receipts"
	"roost/streams/subject"
)

// drop removes the entries, all that the inbox holds up to the last, from the
// stream: by one purge, or one by one where that costs the server less.
func (b *deviceInbox) drop(ctx context.Context, entries []windowEntry) error {
	if len(entries) > b.owner.deletes() && !sparse(entries) {
		return b.c.purge(ctx, b.stream, b.subject, entries[len(entries)-1].seq)
	}
	for _, e := range entries {
		if err := b.c.deleteMessage(ctx, b.stream, e.seq); err != nil {
			return err
		}
	}
	return nil
}

// sparse says whether the entries stand so far apart in the stream, as those of a
// large group's members do, that deletes cost the server less than a purge. A purge looks
// at all messages between the first and the last: about 20 ns each on an idle machine, 80 ns
// under load. A delete costs some 60 µs, and a sync of the disk on a single node.
func sparse(entries []windowEntry) bool {
	const looksADelete = 4096
	first, last := entries[0].seq, entries[len(entries)-1].seq
	return (last-first)/looksADelete > uint64(len(entries))
}

// deletes is how many deletes cost the server no more than one purge. A purge
// counts anew what waits for each consumer of the stream, about 1 µs for each; a
// delete, 60 µs, asks those of its subject alone. The consumers of other gateways
// are not known here and count as none.
func (cs *Consumers) deletes() int {
	if cs.pulls == nil {
		return 1
	}
	const consumersADelete = 64
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return min(removeBatch, 1+len(cs.inboxes)/len(cs.keys)/consumersADelete)
}

// collect adds to marks, for each sender and each group, the newest message of theirs that
// goes, unless the reader blocks the sender of a chat of two.
func (b *deviceInbox) collect(ctx context.Context, heads []schemas.EntryHead, marks receipts.Marks) error {
	newest := make(map[schemas.UserID]schemas.MessageID, 1)
	for _, h := range heads {
		switch {
		case !h.IsSend() || h.SenderID == b.addr.User:
		case h.GroupID == "":
			newest[h.SenderID] = max(newest[h.SenderID], h.MessageID)
		default:
			marks.Add(subject.GroupReceiptKey(h.GroupID, b.addr.User), schemas.Watermark{DeliveredUpTo: h.MessageID})
		}
	}
	if len(newest) == 0 {
		return nil
	}
	reader, err := b.c.directory.User(ctx, b.addr.User)
	if err != nil {
		return err
	}
	for sender, id := range newest {
		if !reader.Blocks(sender) {
			marks.Add(subject.ReceiptKey(sender, b.addr.User), schemas.Watermark{DeliveredUpTo: id})
		}
	}
	return nil
}

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

// purgeAll removes all messages of a subject, what is queued for SENT included.
func (c *Conn) purgeAll(ctx context.Context, stream, filter string) error {
	if err := c.allOnRecord(ctx); err != nil {
		return err
	}
	return c.api.Purge(ctx, stream, filter)
}

// deleteMessage removes one message of an inbox; that it is gone already is no
// error.
func (c *Conn) deleteMessage(ctx context.Context, stream string, seq uint64) error {
	if err := c.sendLog.BeforeRemoval(ctx, stream, seq); err != nil {
		return err
	}
	return c.api.Delete(ctx, stream, seq)
}
