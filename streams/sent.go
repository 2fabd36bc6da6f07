package streams

import (
	"context"
	"errors"
	"slices"

	"roost/schemas"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// Copies is one message and the inboxes that it is committed to.
type Copies struct {
	Message *schemas.Message
	Entry   []byte            // Message.StoredMessage(), the same bytes for all
	To      []subject.Address // a device each, or Unclaimed
	Log     bool              // commit it to MESSAGES as well
	Keep    bool              // and history workers store it

	// Stored, if set, is called when the copy for To[i] is durable, with its sequence.
	// Calls for one inbox come in the order of their sequences, whatever the outcome of
	// the copies in other partitions. It does not block.
	Stored func(i int, sequence uint64)
	// Full, if set, is called if the copy for To[i] found its inbox full, before done is
	// called. Calls for other partitions may run at the same time. It does not block.
	Full func(i int)
}

// CommitCopies commits one copy of a message per target device, and one to MESSAGES if a
// consumer needs it there. done is called once, does not block, and gets the first
// error, or nil when all are durable, with the sequence of each copy in the order of To:
// 0 for a copy that its inbox already had. Copies of one send in one partition are
// committed in one set.
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
	if len(m.To) == 0 { // no copy replaces the record
		parts = append(parts, part{})
	}
	all := publisher.NewJoin(len(parts), func(err error) { done(sequences, err) })
	for _, one := range parts {
		if one.stream == "" {
			c.sendLog.WhenRecorded(all.Done)
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
				c.sendLog.Copied(outcomes[i].Sequence)
				if m.Stored != nil {
					m.Stored(to, outcomes[i].Sequence)
				}
			}
			all.Done(publisher.FirstError(outcomes))
		})
		if err != nil {
			all.Done(err)
		}
	}
}

// part is the part of a message that goes to one stream.
type part struct {
	partition int
	stream    string
	set       []publisher.Entry
	at        []int // the place in Copies.To of each copy; none for MESSAGES
}

// Holds reports whether the inbox of a device has a message now. Only retries ask: the
// deduplication window of the stream is too short for them.
func (c *Conn) Holds(ctx context.Context, a subject.Address, id schemas.MessageID) (bool, error) {
	p := c.partition(a.User)
	return c.holdsInPages(ctx, subject.InboxStream(p), subject.Inbox(p, a), id, 0)
}

// inboxEntry is the copy for one inbox. Its id is unique in the stream: a device id names its
// user, and the unclaimed inbox, which every user has under the same name, gets the user's token.
func inboxEntry(p int, a subject.Address, id string, data []byte) publisher.Entry {
	if a.Device == subject.UnclaimedDevice {
		id += "." + a.User.Token()
	}
	return publisher.Entry{Subject: subject.Inbox(p, a), ID: id + "." + string(a.Device), Data: data}
}
