package streams

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"roost/schemas"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// RecordSent commits the record of a send: the durable answer to every retry of
// it. Records of one device are stored in the order of the calls. done does not
// block and is called once unless RecordSent fails: when the record is durable, or
// at once where it is committed behind the copies of the send, see [behind]. Then
// the outcome has no sequence.
func (c *Conn) RecordSent(a subject.Address, rec schemas.SentRecord, done func(publisher.Outcome)) error {
	if c.behind != nil {
		return c.behind.record(a, rec, done)
	}
	p := c.partition(a.User)
	return c.publisher.Commit(subject.SentStream(p), []publisher.Entry{sentEntry(p, a, rec)}, func(o []publisher.Outcome) { done(o[0]) })
}

func sentEntry(p int, a subject.Address, rec schemas.SentRecord) publisher.Entry {
	return publisher.Entry{
		Subject: subject.Sent(p, a),
		ID:      string(a.Device) + "." + strconv.FormatInt(int64(rec.MessageIDByClient), 10),
		Data:    schemas.Encode(rec),
	}
}

// LastSent is the newest send of a device; ok is false where it never sent.
func (c *Conn) LastSent(ctx context.Context, a subject.Address) (rec schemas.SentRecord, ok bool, err error) {
	if c.behind != nil {
		if err := c.behind.settled(ctx, a); err != nil {
			return rec, false, err
		}
	}
	p := c.partition(a.User)
	rec, ok, err = c.lastRecord(ctx, p, subject.Sent(p, a))
	if c.behind != nil && err == nil {
		c.behind.learn(a, rec.Newest())
	}
	return rec, ok, err
}

// lastRecord is the newest record of a subject of SENT_p, which may have wildcards.
func (c *Conn) lastRecord(ctx context.Context, p int, filter string) (rec schemas.SentRecord, ok bool, err error) {
	m, ok, err := c.api.Last(ctx, subject.SentStream(p), filter)
	if err != nil || !ok {
		return rec, false, err
	}
	rec, err = schemas.Decode[schemas.SentRecord](m.Data)
	return rec, err == nil, err
}

// ErrForgotten: the number is older than the device's last
// schemas.MaxOutstanding sends, so nobody can tell a retry from a new message.
var ErrForgotten = errors.New("older than the sends on record")

// FindSent looks for the record of a number among the device's last sends. ok is
// false where there is none and the number can be taken as new: numbers may be
// skipped, and a send that was refused comes again behind its successors. Then
// rec.Highest is the largest number of those sends.
func (c *Conn) FindSent(ctx context.Context, a subject.Address, n schemas.ClientMessageID) (rec schemas.SentRecord, ok bool, err error) {
	if c.behind != nil {
		if err := c.behind.settled(ctx, a); err != nil {
			return rec, false, err
		}
	}
	p := c.partition(a.User)
	all, _, err := c.api.Read(ctx, subject.SentStream(p), subject.Sent(p, a), 0, schemas.MaxOutstanding)
	if err != nil {
		return rec, false, err
	}
	lowest := n
	for _, m := range all {
		one, err := schemas.Decode[schemas.SentRecord](m.Data)
		if err != nil {
			return rec, false, err
		}
		if one.MessageIDByClient == n {
			return one, true, nil
		}
		lowest, rec.Highest = min(lowest, one.MessageIDByClient), max(rec.Highest, one.Newest())
	}
	if len(all) >= schemas.MaxOutstanding && lowest == n {
		return rec, false, ErrForgotten
	}
	return rec, false, nil
}

// Copies is one message on its way into inboxes.
type Copies struct {
	Message *schemas.Message
	Entry   []byte            // Message.StoredMessage(), the same bytes for all
	To      []subject.Address // a device each, or Unclaimed
	Log     bool              // commit it to MESSAGES as well
	Keep    bool              // and history workers store it

	// Stored, where it is set, hears of the copy for To[i] when it is durable, with
	// its sequence: of those of one inbox in the order of their sequences, and whatever
	// becomes of the copies in other partitions. It does not block.
	Stored func(i int, sequence uint64)
	// Full, where it is set, hears of the copy for To[i] that found its inbox full, before
	// done is called: of those in other partitions at the same time. It does not block.
	Full func(i int)
}

// CommitCopies commits a message for every device it is meant for, and to
// MESSAGES where somebody wants it there. done is called once, does not block, and
// gets the first error, or nil once all are durable, with the sequence of each
// copy in the order of To: 0 for a copy that its inbox has had already. Copies of
// one send in one partition travel in one set.
func (c *Conn) CommitCopies(m Copies, done func(sequences []uint64, err error)) {
	parts := make([]part, 0, 2)
	for i, a := range m.To {
		p := c.partition(a.User)
		to := slices.IndexFunc(parts, func(o part) bool { return o.partition == p })
		if to < 0 {
			to = len(parts)
			parts = append(parts, part{partition: p, stream: subject.InboxStream(p)})
		}
		one := inboxEntry(p, a, string(m.Message.MessageID), m.Entry)
		one.ExpiresAt = m.Message.ExpiresAt
		parts[to].set = append(parts[to].set, one)
		parts[to].at = append(parts[to].at, i)
	}
	if m.Log {
		parts = append(parts, part{stream: subject.MessagesStream, set: []publisher.Entry{{
			Subject: subject.Message(m.Message), ID: string(m.Message.MessageID),
			Data: m.Message.Encode(), Keep: m.Keep, ExpiresAt: m.Message.ExpiresAt,
		}}})
	}
	sequences := make([]uint64, len(m.To))
	if len(m.To) == 0 && c.behind != nil { // no copy stands for the record
		parts = append(parts, part{})
	}
	if len(parts) == 0 {
		done(sequences, nil)
		return
	}
	all := newGather(len(parts), func(err error) { done(sequences, err) })
	for _, one := range parts {
		if one.stream == "" {
			c.behind.whenSettled(all.one)
			continue
		}
		err := c.publisher.Commit(one.stream, one.set, func(outcomes []publisher.Outcome) {
			for i, to := range one.at {
				if m.Full != nil && errors.Is(outcomes[i].Err, publisher.ErrInboxFull) {
					m.Full(to)
				}
				if outcomes[i].Duplicate || outcomes[i].Err != nil {
					continue
				}
				sequences[to] = outcomes[i].Sequence
				if c.behind != nil {
					c.behind.stored(outcomes[i].Sequence)
				}
				if m.Stored != nil {
					m.Stored(to, outcomes[i].Sequence)
				}
			}
			all.one(publisher.FirstError(outcomes))
		})
		if err != nil {
			all.one(err)
		}
	}
}

// part is what of a message goes to one stream.
type part struct {
	partition int
	stream    string
	set       []publisher.Entry
	at        []int // the place in Copies.To of each copy; none for MESSAGES
}

// Holds says whether the inbox of a device has a message now. Only retries ask:
// the stream's own window against duplicates is short.
func (c *Conn) Holds(ctx context.Context, a subject.Address, id schemas.MessageID) (bool, error) {
	p := c.partition(a.User)
	return c.holdsInPages(ctx, subject.InboxStream(p), subject.Inbox(p, a), id, 0)
}
