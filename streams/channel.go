package streams

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// A channel is a group whose members pull: a message is one entry of stream CHANNELS,
// and in nobody's inbox. Updates are on subjects of their own, by what they do to
// which message: so a thousand reactions drive no message out, and what was done to a
// message is found without a look at the rest.

const (
	// MaxChannelEntries bounds what CHANNELS holds on one subject, so the messages of
	// a channel; the oldest go.
	MaxChannelEntries = 10_000
	// MaxChannelReactions is how many of the changes of reactions to a message count,
	// the newest.
	MaxChannelReactions = 256
)

// ChannelEntry is a message of a channel, or an update, as CHANNELS has it.
type ChannelEntry struct {
	schemas.Message
	Sequence uint64
}

// ChannelSend is one message, or update, on its way into a channel.
type ChannelSend struct {
	Message *schemas.Message
	Stored  uint64 // where CHANNELS has it already; 0: it does not
	Late    bool   // it is no update, and stored long after it got its id
	Log     bool   // commit it to MESSAGES as well
	Keep    bool   // and history workers store it
}

// CommitChannel commits a message to the channel of its group, and to MESSAGES where
// somebody wants it there. done is called once, does not block, and gets the sequence
// in CHANNELS once all of it is durable.
//
// No copy stands for the record of the send, so that is waited for first: what was
// committed without one would be stored twice by a retry.
func (c *Conn) CommitChannel(s ChannelSend, done func(seq uint64, err error)) {
	if c.sendLog.Recorded() {
		c.commitChannel(s, done)
		return
	}
	c.sendLog.WhenRecorded(func(err error) {
		if err != nil {
			done(0, err)
			return
		}
		c.commitChannel(s, done)
	})
}

func (c *Conn) commitChannel(s ChannelSend, done func(seq uint64, err error)) {
	m, sequence := s.Message, s.Stored
	all := newGather(2, func(err error) { done(sequence, err) })
	put := func(stream, filter string, told func(publisher.Outcome)) {
		entry := publisher.Entry{Subject: filter, ID: string(m.MessageID), Data: m.Encode(), ExpiresAt: m.ExpiresAt,
			Keep: s.Keep && stream == subject.MessagesStream}
		err := c.publisher.Commit(stream, []publisher.Entry{entry}, func(o []publisher.Outcome) {
			told(o[0])
			all.one(o[0].Err)
		})
		if err != nil {
			all.one(err)
		}
	}
	if s.Stored == 0 {
		filter := subject.ChannelEntry(m)
		if s.Late {
			filter = subject.ChannelLate(m.GroupID)
		}
		put(subject.ChannelsStream, filter, func(o publisher.Outcome) {
			sequence = o.Sequence
			c.noChannelAt.Store(someChannel)
		})
	} else {
		all.one(nil)
	}
	if s.Log {
		put(subject.MessagesStream, subject.Message(m), func(publisher.Outcome) {})
	} else {
		all.one(nil)
	}
}

// ChannelEnd is the sequence of the newest entry of a channel, an update perhaps, and
// the newest message; zero where there are none.
func (c *Conn) ChannelEnd(ctx context.Context, id schemas.GroupID) (end, message uint64, err error) {
	for filter, to := range map[string]*uint64{subject.ChannelEntries(id, ">"): &end, subject.ChannelMessages(id): &message} {
		m, _, err := c.api.Last(ctx, subject.ChannelsStream, filter)
		if err != nil {
			return 0, 0, fmt.Errorf("failed to look for the end of channel %s: %w", id, err)
		}
		*to = m.Sequence
	}
	return end, message, nil
}

// ChannelBack reads the newest n messages of a channel that were stored at or before
// t, the zero time being now, in the order in which they were stored. whole says that
// there are none before them.
func (c *Conn) ChannelBack(ctx context.Context, id schemas.GroupID, t time.Time, n int) (entries []ChannelEntry, whole bool, err error) {
	return c.channelBack(ctx, subject.ChannelMessages(id), t, n)
}

// channelBack reads a subject backwards. A stream is read forwards alone: from so far
// back that n entries could be there, and then from further back, each time four times
// as far.
func (c *Conn) channelBack(ctx context.Context, filter string, t time.Time, n int) (entries []ChannelEntry, whole bool, err error) {
	last, ok, err := c.api.LastUntil(ctx, subject.ChannelsStream, filter, t)
	if err != nil || !ok {
		return nil, err == nil, err
	}
	end := last.Sequence + 1
	for span := uint64(n); ; span *= 4 {
		from := uint64(1)
		if span < last.Sequence {
			from = last.Sequence + 1 - span
		}
		before, err := c.channelRange(ctx, filter, from, end)
		if err != nil {
			return nil, false, err
		}
		entries, end = append(before, entries...), from
		if len(entries) >= n || from == 1 {
			whole = from == 1 && len(entries) <= n
			return entries[max(0, len(entries)-n):], whole, nil
		}
	}
}

// channelRange reads the entries of a subject from sequence from up to before end.
func (c *Conn) channelRange(ctx context.Context, subject string, from, end uint64) (entries []ChannelEntry, err error) {
	err = c.eachOfChannel(ctx, subject, from, func(e ChannelEntry) bool {
		if e.Sequence >= end {
			return false
		}
		entries = append(entries, e)
		return true
	})
	return entries, err
}

// eachOfChannel calls each with the entries of a subject from a sequence on, until it
// says no.
func (c *Conn) eachOfChannel(ctx context.Context, filter string, from uint64, each func(ChannelEntry) bool) error {
	for m, err := range c.api.Messages(ctx, subject.ChannelsStream, filter, from, schemas.MaxInFlight) {
		if err != nil {
			return fmt.Errorf("failed to read %s: %w", filter, err)
		}
		e, err := channelEntryOf(m)
		if err != nil {
			c.log.Warn("an entry of a channel cannot be read", "subject", m.Subject, "sequence", m.Sequence, "error", err)
			continue
		}
		if !each(e) {
			return nil
		}
	}
	return nil
}

// ChannelDeletions are the deletions for everyone in a channel from a sequence on.
func (c *Conn) ChannelDeletions(ctx context.Context, id schemas.GroupID, from uint64) ([]ChannelEntry, error) {
	return c.channelRange(ctx, subject.ChannelEntries(id, string(schemas.ChangeDelete)+".*"), from, math.MaxUint64)
}

// ChannelChanges are the edits and reactions of some messages of a channel: of the
// edits of one the newest, of the reactions to it the newest MaxChannelReactions.
func (c *Conn) ChannelChanges(ctx context.Context, id schemas.GroupID, targets []schemas.MessageID) ([]schemas.Message, error) {
	const perTarget = 2
	var found []jsapi.Message // the newest of each subject that has any
	for some := range slices.Chunk(targets, jsapi.MaxSubjects/perTarget) {
		subjects := make([]string, 0, perTarget*len(some))
		for _, m := range some {
			subjects = append(subjects, subject.ChannelUpdates(id, schemas.ChangeEdit, m), subject.ChannelUpdates(id, schemas.ChangeReaction, m))
		}
		lasts, err := c.api.Lasts(ctx, subject.ChannelsStream, subjects)
		if err != nil {
			return nil, fmt.Errorf("failed to look for updates in channel %s: %w", id, err)
		}
		found = append(found, lasts...)
	}
	var mu sync.Mutex // guards all
	var all []schemas.Message
	err := jsapi.Parallel(ctx, len(found), func(ctx context.Context, i int) error {
		if newest, err := channelEntryOf(found[i]); err == nil && newest.Change == schemas.ChangeEdit {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, newest.Message) // it takes the place of those before
			return nil
		}
		entries, _, err := c.channelBack(ctx, found[i].Subject, time.Time{}, MaxChannelReactions)
		mu.Lock()
		defer mu.Unlock()
		for _, e := range entries {
			all = append(all, e.Message)
		}
		return err
	})
	return all, err
}

// ChannelLate are the messages of a channel that were stored long after they got their
// id.
func (c *Conn) ChannelLate(ctx context.Context, id schemas.GroupID) ([]ChannelEntry, error) {
	return c.channelRange(ctx, subject.ChannelLate(id), 1, math.MaxUint64)
}

// ChannelDeleted says whether a message of a channel was deleted for everyone.
func (c *Conn) ChannelDeleted(ctx context.Context, id schemas.GroupID, target schemas.MessageID) (bool, error) {
	_, ok, err := c.api.Last(ctx, subject.ChannelsStream, subject.ChannelUpdates(id, schemas.ChangeDelete, target))
	if err != nil {
		return false, fmt.Errorf("failed to look for a deletion in channel %s: %w", id, err)
	}
	return ok, nil
}

// ChannelHolds says whether a channel has a message or update now, and where. Only
// retries ask: the stream's own window against duplicates is short.
func (c *Conn) ChannelHolds(ctx context.Context, m *schemas.Message) (seq uint64, err error) {
	seq, err = c.channelHolds(ctx, subject.ChannelEntry(m), m)
	if err == nil && seq == 0 && !m.IsUpdate() {
		seq, err = c.channelHolds(ctx, subject.ChannelLate(m.GroupID), m)
	}
	return seq, err
}

func (c *Conn) channelHolds(ctx context.Context, subject string, m *schemas.Message) (seq uint64, err error) {
	from, err := c.channelSince(ctx, subject, m.MessageID)
	if err != nil || from == 0 {
		return 0, err
	}
	err = c.eachOfChannel(ctx, subject, from, func(e ChannelEntry) bool {
		if e.MessageID == m.MessageID {
			seq = e.Sequence
		}
		return seq == 0
	})
	return seq, err
}

// channelSince is the sequence of the first entry of a subject that can be the one with
// that id, or stand behind it; 0 where there is none.
func (c *Conn) channelSince(ctx context.Context, filter string, id schemas.MessageID) (uint64, error) {
	const slack = 10 * time.Minute // between clocks
	first, _, err := c.api.ReadSince(ctx, subject.ChannelsStream, filter, id.Time().Time().Add(-slack), 1)
	if err != nil || len(first) == 0 {
		return 0, err
	}
	return first[0].Sequence, nil
}

// EraseFromChannel removes a message that was deleted for everyone from a channel,
// with its edits and reactions. What it said is overwritten on disk. It may be repeated.
func (c *Conn) EraseFromChannel(ctx context.Context, id schemas.GroupID, target schemas.MessageID) error {
	at, err := c.ChannelHolds(ctx, &schemas.Message{MessageID: target, GroupID: id})
	if err != nil {
		return err
	}
	edits, err := c.channelRange(ctx, subject.ChannelUpdates(id, schemas.ChangeEdit, target), 1, math.MaxUint64)
	if err != nil {
		return err
	}
	gone := make([]uint64, 0, 1+len(edits))
	if at != 0 {
		gone = append(gone, at)
	}
	for _, e := range edits {
		gone = append(gone, e.Sequence)
	}
	err = jsapi.Parallel(ctx, len(gone), func(ctx context.Context, i int) error {
		return c.api.Erase(ctx, subject.ChannelsStream, gone[i])
	})
	if err != nil {
		return err
	}
	return c.api.Purge(ctx, subject.ChannelsStream, subject.ChannelUpdates(id, schemas.ChangeReaction, target))
}

// forgetChannel removes what CHANNELS holds of a group that is no more.
func (c *Conn) forgetChannel(ctx context.Context, id schemas.GroupID) error {
	return c.api.Purge(ctx, subject.ChannelsStream, subject.ChannelEntries(id, ">"))
}

// NewestInChannels is the newest message of each of some channels that has one.
func (c *Conn) NewestInChannels(ctx context.Context, ids []schemas.GroupID) ([]ChannelEntry, error) {
	subjects := make([]string, len(ids))
	for i, id := range ids {
		subjects[i] = subject.ChannelMessages(id)
	}
	all, err := c.api.Lasts(ctx, subject.ChannelsStream, subjects)
	if err != nil {
		return nil, fmt.Errorf("failed to look for messages of channels: %w", err)
	}
	entries := make([]ChannelEntry, 0, len(all))
	for _, m := range all {
		if e, err := channelEntryOf(m); err == nil {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

func channelEntryOf(m jsapi.Message) (ChannelEntry, error) {
	message, err := schemas.DecodeMessage(m.Data)
	if err == nil && subject.ChannelEntry(&message) != m.Subject && (message.IsUpdate() || subject.ChannelLate(message.GroupID) != m.Subject) {
		err = errors.New("it belongs to another subject")
	}
	return ChannelEntry{message, m.Sequence}, err
}

// ChannelGroups are at most n of a person's groups that have more than limit members,
// by what this process read of late.
func (c *Conn) ChannelGroups(ctx context.Context, u schemas.UserID, limit, n int) (groups []*schemas.Group, err error) {
	return c.groups.some(ctx, u, n, func(g *schemas.Group) bool { return len(g.Members) > limit })
}

// AnyChannel says whether CHANNELS ever held anything, as far as this process knows: it
// asks where it found nothing longer than age ago.
func (c *Conn) AnyChannel(ctx context.Context, age time.Duration) (bool, error) {
	switch at := c.noChannelAt.Load(); {
	case at == someChannel:
		return true, nil
	case time.Since(time.Unix(0, at)) < age:
		return false, nil
	}
	now := time.Now().UnixNano()
	_, some, err := c.api.Last(ctx, subject.ChannelsStream, subject.AllChannels)
	if err != nil {
		return false, fmt.Errorf("failed to look for channels: %w", err)
	}
	if some {
		now = someChannel
	}
	if at := c.noChannelAt.Load(); at != someChannel {
		c.noChannelAt.CompareAndSwap(at, now)
	}
	return some, nil
}

// someChannel in place of the time at which there was none.
const someChannel = -1
