package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roost/schemas"
)

// tell commits an update to the inboxes of users and shows it to who is connected.
// A full inbox goes without: it must not keep a group from being changed, and what
// the group is now can be asked for.
func (g *Groups) tell(ctx context.Context, users []schemas.UserID, change *schemas.GroupChange) error {
	people, err := g.c.directory.People(ctx, users)
	if err != nil {
		return err
	}
	to := make([]Address, 0, len(users))
	var unclaimed []schemas.UserID
	for i, u := range users {
		if people[i].Deleted {
			continue // nobody reads it
		}
		if to = AppendInboxes(to, u, people[i]); len(people[i].Devices) == 0 {
			unclaimed = append(unclaimed, u)
		}
	}
	entry := change.StoredUpdate()
	if err := g.commit(ctx, change, entry, to); err != nil {
		return err
	}
	if len(unclaimed) > 0 { // a first device may have claimed before the copy was there
		if to, err = g.c.directory.Claimed(ctx, unclaimed); err != nil {
			return err
		}
		if err := g.commit(ctx, change, entry, to); err != nil {
			return err
		}
	}
	g.c.publishEvent(groupEventSubject(change.GroupID), entry)
	return nil
}

// stale is the age from which on the stream may have forgotten the ids of an
// update's copies: half of its usual window against duplicates.
const stale = DefaultDuplicateWindow / 2

// commit commits the copies of an update, those that are missing where it is old.
func (g *Groups) commit(ctx context.Context, change *schemas.GroupChange, entry []byte, to []Address) error {
	if made := change.MessageID.Time().Time(); time.Since(made) > stale {
		var err error
		if to, err = g.c.Missing(ctx, change.MessageID, made, to); err != nil {
			return err
		}
	}
	release, err := g.c.Reserve(ctx, len(to))
	if err != nil {
		return err
	}
	defer release()
	parts := g.c.byPartition(to)
	type answer struct {
		to       []Address
		outcomes []Outcome
	}
	answers := make(chan answer, len(parts)) // one each
	for p, some := range parts {
		set := make([]Entry, 0, len(some))
		for _, a := range some {
			set = append(set, inboxEntry(p, a, string(change.MessageID), entry))
		}
		if err := g.c.commit(inboxStream(p), set, func(o []Outcome) { answers <- answer{some, o} }); err != nil {
			return err
		}
	}
	for range parts {
		select {
		case a := <-answers:
			if err := g.show(a.to, a.outcomes, entry); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// show shows the copies that were stored now.
func (g *Groups) show(to []Address, outcomes []Outcome, entry []byte) error {
	for i, o := range outcomes {
		switch {
		case errors.Is(o.Err, ErrInboxFull):
			g.c.log.Warn("a full inbox goes without an update of a group", "user", to[i].User, "device", to[i].Device)
		case o.Err != nil:
			return fmt.Errorf("failed to tell a member: %w", o.Err)
		case !o.Duplicate:
			g.c.PublishEntry(to[i], o.Sequence, entry)
		}
	}
	return nil
}
