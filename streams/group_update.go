package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/publisher"
	"roost/streams/subject"
)

// CommitUpdate commits an update of a group or chat, with that id, to the inboxes of all
// devices of users, and delivers it to connected devices. It leaves out a full inbox, which
// must not prevent a change: the device can ask for the present state. It may be repeated.
func (c *Conn) CommitUpdate(ctx context.Context, users []schemas.UserID, id schemas.MessageID, entry []byte) error {
	people, err := c.directory.Users(ctx, users)
	if err != nil {
		return err
	}
	to := make([]subject.Address, 0, len(users))
	var unclaimed []schemas.UserID
	for i, u := range users {
		if !people[i].Had(id) {
			continue // no device reads it
		}
		if to = directory.AppendInboxes(to, u, people[i]); len(people[i].Devices) == 0 {
			unclaimed = append(unclaimed, u)
		}
	}
	if err := c.commitUpdateTo(ctx, id, entry, to); err != nil {
		return err
	}
	if len(unclaimed) == 0 {
		return nil
	}
	// A first device may have claimed the inbox before the copy was stored.
	if to, err = c.directory.Claimed(ctx, unclaimed); err != nil {
		return err
	}
	return c.commitUpdateTo(ctx, id, entry, to)
}

// commitUpdateTo commits the copies of an update; of an old update only the missing
// ones.
func (c *Conn) commitUpdateTo(ctx context.Context, id schemas.MessageID, entry []byte, to []subject.Address) error {
	if made := id.Time().Time(); time.Since(made) > c.window/2 { // the stream's deduplication window may have passed
		var err error
		if to, err = c.Missing(ctx, id, made, to); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(to, MaxCopies) { // a channel has more
		if err := c.commitSome(ctx, id, entry, some); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) commitSome(ctx context.Context, id schemas.MessageID, entry []byte, to []subject.Address) error {
	release, err := c.Reserve(ctx, len(to))
	if err != nil {
		return err
	}
	defer release()
	parts := c.byPartition(to)
	type answer struct {
		to       []subject.Address
		outcomes []publisher.Outcome
	}
	answers := make(chan answer, len(parts)) // one each
	for p, some := range parts {
		set := make([]publisher.Entry, 0, len(some))
		for _, a := range some {
			set = append(set, inboxEntry(p, a, string(id), entry))
		}
		if err := c.publisher.Commit(subject.InboxStream(p), set, func(o []publisher.Outcome) { answers <- answer{some, o} }); err != nil {
			return err
		}
	}
	for range parts {
		select {
		case a := <-answers:
			if err := c.showUpdate(a.to, a.outcomes, entry); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// showUpdate delivers the copies that were stored now.
func (c *Conn) showUpdate(to []subject.Address, outcomes []publisher.Outcome, entry []byte) error {
	for i, o := range outcomes {
		switch {
		case errors.Is(o.Err, publisher.ErrInboxFull):
			c.log.Warn("a full inbox goes without an update of a group or chat", "user", to[i].User, "device", to[i].Device)
		case o.Err != nil:
			return fmt.Errorf("failed to tell a member: %w", o.Err)
		case !o.Duplicate:
			c.Bus().PublishEntry(to[i], o.Sequence, entry)
		}
	}
	return nil
}
