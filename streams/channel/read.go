package channel

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// End returns the sequence of the newest entry of a channel, perhaps an update, and the
// newest message; zero if there are none.
func (c *Channels) End(ctx context.Context, id schemas.GroupID) (end, message uint64, err error) {
	for filter, to := range map[string]*uint64{subject.ChannelEntries(id, ">"): &end, subject.ChannelMessages(id): &message} {
		m, _, err := c.api.Last(ctx, subject.ChannelsStream, filter)
		if err != nil {
			return 0, 0, fmt.Errorf("failed to look for the end of channel %s: %w", id, err)
		}
		*to = m.Sequence
	}
	return end, message, nil
}

// Back reads the newest n messages of a channel that were stored at or before t, in the
// order in which they were stored. A zero t means now. whole reports that there are none
// before them.
func (c *Channels) Back(ctx context.Context, id schemas.GroupID, t time.Time, n int) (entries []Entry, whole bool, err error) {
	return c.back(ctx, subject.ChannelMessages(id), t, n)
}

// back reads a subject backwards. A stream can only be read forwards. So back starts far
// enough back for n entries, and then further back, each time four times as far.
func (c *Channels) back(ctx context.Context, filter string, t time.Time, n int) (entries []Entry, whole bool, err error) {
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
		before, err := c.between(ctx, filter, from, end)
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

// between reads the entries of a subject from sequence from up to before end.
func (c *Channels) between(ctx context.Context, subject string, from, end uint64) (entries []Entry, err error) {
	err = c.each(ctx, subject, from, func(e Entry) bool {
		if e.Sequence >= end {
			return false
		}
		entries = append(entries, e)
		return true
	})
	return entries, err
}

// Each calls each with all entries of a channel, updates included, in the order in which
// they were stored, until each returns false.
func (c *Channels) Each(ctx context.Context, id schemas.GroupID, each func(Entry) bool) error {
	return c.each(ctx, subject.ChannelEntries(id, ">"), 1, each)
}

// each calls each with the entries of a subject from a sequence on, until it returns
// false.
func (c *Channels) each(ctx context.Context, filter string, from uint64, each func(Entry) bool) error {
	for m, err := range c.api.Messages(ctx, subject.ChannelsStream, filter, from, schemas.MaxInFlight) {
		if err != nil {
			return fmt.Errorf("failed to read %s: %w", filter, err)
		}
		e, err := parse(m)
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

// Deletions returns the deletions for everyone in a channel from a sequence on.
func (c *Channels) Deletions(ctx context.Context, id schemas.GroupID, from uint64) ([]Entry, error) {
	return c.between(ctx, subject.ChannelEntries(id, string(schemas.ChangeDelete)+".*"), from, math.MaxUint64)
}

// Changes returns the edits and reactions of some messages of a channel: the newest edit
// of each message, and the newest MaxChannelReactions reactions to it.
func (c *Channels) Changes(ctx context.Context, id schemas.GroupID, targets []schemas.MessageID) ([]schemas.Message, error) {
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
		if newest, err := parse(found[i]); err == nil && newest.Change == schemas.ChangeEdit {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, newest.Message) // it replaces the earlier ones
			return nil
		}
		entries, _, err := c.back(ctx, found[i].Subject, time.Time{}, MaxReactions)
		mu.Lock()
		defer mu.Unlock()
		for _, e := range entries {
			all = append(all, e.Message)
		}
		return err
	})
	return all, err
}

// Late returns the messages of a channel that were stored long after they got their id.
func (c *Channels) Late(ctx context.Context, id schemas.GroupID) ([]Entry, error) {
	return c.between(ctx, subject.ChannelLate(id), 1, math.MaxUint64)
}

// Deleted reports whether a message of a channel was deleted for everyone.
func (c *Channels) Deleted(ctx context.Context, id schemas.GroupID, target schemas.MessageID) (bool, error) {
	_, ok, err := c.api.Last(ctx, subject.ChannelsStream, subject.ChannelUpdates(id, schemas.ChangeDelete, target))
	if err != nil {
		return false, fmt.Errorf("failed to look for a deletion in channel %s: %w", id, err)
	}
	return ok, nil
}

// Holds reports whether a channel has a message or update now, and at which sequence.
// Only retries ask: the deduplication window of the stream is too short for them.
func (c *Channels) Holds(ctx context.Context, m *schemas.Message) (seq uint64, err error) {
	seq, err = c.holds(ctx, subject.ChannelEntry(m), m)
	if err == nil && seq == 0 && !m.IsUpdate() {
		seq, err = c.holds(ctx, subject.ChannelLate(m.GroupID), m)
	}
	return seq, err
}

func (c *Channels) holds(ctx context.Context, subject string, m *schemas.Message) (seq uint64, err error) {
	from, err := c.since(ctx, subject, m.MessageID)
	if err != nil || from == 0 {
		return 0, err
	}
	err = c.each(ctx, subject, from, func(e Entry) bool {
		if e.MessageID == m.MessageID {
			seq = e.Sequence
		}
		return seq == 0
	})
	return seq, err
}

// since returns the sequence of the first entry of a subject that can be the one with
// that id, or come after it; 0 if there is none.
func (c *Channels) since(ctx context.Context, filter string, id schemas.MessageID) (uint64, error) {
	const slack = 10 * time.Minute // between clocks
	first, _, err := c.api.ReadSince(ctx, subject.ChannelsStream, filter, id.Time().Time().Add(-slack), 1)
	if err != nil || len(first) == 0 {
		return 0, err
	}
	return first[0].Sequence, nil
}

// Newest returns the newest message of each of some channels that has one.
func (c *Channels) Newest(ctx context.Context, ids []schemas.GroupID) ([]Entry, error) {
	subjects := make([]string, len(ids))
	for i, id := range ids {
		subjects[i] = subject.ChannelMessages(id)
	}
	all, err := c.api.Lasts(ctx, subject.ChannelsStream, subjects)
	if err != nil {
		return nil, fmt.Errorf("failed to look for messages of channels: %w", err)
	}
	entries := make([]Entry, 0, len(all))
	for _, m := range all {
		if e, err := parse(m); err == nil {
			entries = append(entries, e)
		}
	}
	return entries, nil
}
