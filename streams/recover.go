package streams

import (
	"context"
	"fmt"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// recoverRecords writes the records that a process which committed them behind
// their copies, see [behind], did not live to write: of sends whose copies are in
// INBOX_0 from where the newest record says. It returns the sequence from which on
// copies may have no record then. It may be repeated, and run in several processes.
func (c *Conn) recoverRecords(ctx context.Context) (from uint64, err error) {
	if c.partitions > 1 {
		return 1, nil // no process of this cluster ever was behind
	}
	newest, ok, err := c.lastRecord(ctx, 0, subject.AllSent(0))
	if err != nil {
		return 0, err
	}
	from = uint64(newest.InboxFrom)
	if ok && from == 0 { // the last ones were committed before their copies
		last, _, err := c.api.Last(ctx, subject.InboxStream(0), subject.AllInboxes(0))
		return last.Sequence + 1, err
	}
	from = max(from, 1)
	written := 0
	next := from
	for e, err := range c.api.Messages(ctx, subject.InboxStream(0), subject.AllInboxes(0), from, jsapi.MaxSubjects) {
		if err != nil {
			return 0, fmt.Errorf("failed to look for sends without a record: %w", err)
		}
		wrote, err := c.recoverRecord(ctx, e.Data, from)
		if err != nil {
			return 0, fmt.Errorf("failed to write the record of a send again: %w", err)
		}
		if wrote {
			written++
		}
		next = e.Sequence + 1
	}
	from = next
	if written > 0 {
		c.log.Info("the records of the last sends were written again", "records", written)
	}
	return from, nil
}

// recoverRecord writes the record of a copy's send where there is none.
func (c *Conn) recoverRecord(ctx context.Context, entry []byte, from uint64) (wrote bool, err error) {
	head, err := schemas.DecodeEntryHead(entry)
	if err != nil || !head.IsSend() {
		return false, nil // not the copy of a send
	}
	m, err := schemas.Decode[schemas.Message](entry)
	if err != nil || m.MessageIDByClient == 0 || m.SenderDeviceID == "" {
		return false, nil
	}
	c.clock.Observe(m.MessageID)
	a := subject.Address{User: m.SenderID, Device: m.SenderDeviceID}
	_, found, err := c.FindSent(ctx, a, m.MessageIDByClient)
	if found || err == ErrForgotten {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	last, _, err := c.LastSent(ctx, a)
	if err != nil {
		return false, err
	}
	rec := schemas.SentRecord{MessageIDByClient: m.MessageIDByClient, MessageID: m.MessageID,
		ContentHash: m.Hash(), ExpiresAt: m.ExpiresAt, InboxFrom: int64(from)}
	if newest := last.Newest(); newest > rec.MessageIDByClient {
		rec.Highest = newest
	}
	return true, c.publisher.StoreAll(ctx, subject.SentStream(0), []publisher.Entry{sentEntry(0, a, rec)})
}
