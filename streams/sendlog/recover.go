package sendlog

import (
	"context"
	"errors"
	"fmt"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// Recover writes the records that an [Async] log of an earlier process left unwritten:
// of sends whose copies are in INBOX_0, from the sequence on that the newest record
// names. It returns the sequence from which on copies may still have no record. It may
// be repeated, and run in several processes.
func (l *First) Recover(ctx context.Context) (from uint64, err error) {
	if l.partitions > 1 {
		return 1, nil // no process of this cluster ever had an Async log
	}
	newest, ok, err := l.Newest(ctx, 0)
	if err != nil {
		return 0, err
	}
	from = uint64(newest.InboxFrom)
	if ok && from == 0 { // the last records were committed before their copies
		last, _, err := l.api.Last(ctx, subject.InboxStream(0), subject.AllInboxes(0))
		return last.Sequence + 1, err
	}
	from = max(from, 1)
	next, written := from, 0
	for e, err := range l.api.Messages(ctx, subject.InboxStream(0), subject.AllInboxes(0), from, jsapi.MaxSubjects) {
		if err != nil {
			return 0, fmt.Errorf("failed to look for sends without a record: %w", err)
		}
		wrote, err := l.recoverRecord(ctx, e.Data, from)
		if err != nil {
			return 0, fmt.Errorf("failed to write the record of a send again: %w", err)
		}
		if wrote {
			written++
		}
		next = e.Sequence + 1
	}
	if written > 0 {
		l.log.Info("the records of the last sends were written again", "records", written)
	}
	return next, nil
}

// recoverRecord writes the record of a copy's send if there is none.
func (l *First) recoverRecord(ctx context.Context, copied []byte, from uint64) (wrote bool, err error) {
	head, err := schemas.DecodeEntryHead(copied)
	if err != nil || !head.IsSend() {
		return false, nil // not the copy of a send
	}
	m, err := schemas.Decode[schemas.Message](copied)
	if err != nil || m.MessageIDByClient == 0 || m.SenderDeviceID == "" {
		return false, nil
	}
	l.clock.Observe(m.MessageID)
	a := subject.Address{User: m.SenderID, Device: m.SenderDeviceID}
	_, found, err := l.Find(ctx, a, m.MessageIDByClient)
	if found || errors.Is(err, ErrForgotten) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	last, _, err := l.Last(ctx, a)
	if err != nil {
		return false, err
	}
	rec := schemas.SendRecord{MessageIDByClient: m.MessageIDByClient, MessageID: m.MessageID,
		ContentHash: m.Hash(), ExpiresAt: m.ExpiresAt, InboxFrom: int64(from)}
	if newest := last.Newest(); newest > rec.MessageIDByClient {
		rec.Highest = newest
	}
	return true, l.publisher.StoreAll(ctx, subject.SentStream(0), []publisher.Entry{entry(0, a, rec)})
}
