package group

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"roost/schemas"
	"roost/streams/jsapi"
)

// Change changes a group, and returns after the updates are in the inboxes of all members and
// removed members. It may call edit several times, each time with the newest state. If edit
// adds no update, or fails, the group stays as it is. If there is no such group, the error is
// [ErrNotFound]. After any other error the change may be written: the next read finishes it.
func (g *Groups) Change(ctx context.Context, id schemas.GroupID, by schemas.UserID, edit func(*Edit) error) (*schemas.Group, error) {
	done, err := g.turns.wait(ctx, id)
	if err != nil {
		return nil, err
	}
	defer done()
	for attempt := range jsapi.Attempts {
		if err := backOff(ctx, attempt); err != nil {
			return nil, fmt.Errorf("failed to change group %s: %w", id, err)
		}
		if _, err := g.Group(ctx, id); err != nil {
			return nil, err
		}
		group, err := jsapi.Update(ctx, g.kv, string(id), func(old schemas.Group, exists bool) (schemas.Group, error) {
			switch {
			case !exists || len(old.Members) == 0 && old.Pending == nil:
				return old, ErrNotFound
			case old.Pending != nil:
				return old, errPending
			}
			return g.apply(ctx, old, by, edit)
		})
		switch {
		case errors.Is(err, errPending):
			continue
		case err != nil:
			return nil, err
		case group.Pending != nil:
			err = g.finish(ctx, &group)
		}
		return &group, err
	}
	return nil, fmt.Errorf("failed to change group %s: %w", id, jsapi.ErrContended)
}

// maxBackOff bounds the pause before a change is tried again.
const maxBackOff = 128 * time.Millisecond

// backOff waits before each attempt but the first, at random and longer each time. So
// gateways that change one group at the same time do not overtake each other endlessly.
func backOff(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return nil
	}
	select {
	case <-time.After(rand.N(min(time.Millisecond<<min(attempt, 10), maxBackOff))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// apply returns the state after an edit. It first records in MEMBERSHIPS the users who are about to join.
func (g *Groups) apply(ctx context.Context, old schemas.Group, by schemas.UserID, change func(*Edit) error) (schemas.Group, error) {
	g.clock.Observe(old.Changed)
	before := make(map[schemas.UserID]schemas.Member, len(old.Members))
	for _, m := range old.Members {
		before[m.UserID] = m
	}
	edit := Edit{Group: &old, At: schemas.Now(), by: by, clock: g.clock}
	if err := change(&edit); err != nil {
		return old, err
	}
	if len(edit.updates) == 0 {
		return old, jsapi.ErrUnchanged
	}
	var joined, removed []schemas.Member
	for _, m := range old.Members {
		if _, ok := before[m.UserID]; !ok {
			joined = append(joined, m)
		}
		delete(before, m.UserID)
	}
	for _, m := range before {
		removed = append(removed, m)
	}
	if edit.setPending(removed); len(joined) > 0 && !old.Fits() {
		return old, ErrFull
	}
	return old, g.memberships.begin(ctx, old.GroupID, joined)
}

// finishTimeout bounds finish.
const finishTimeout = 15 * time.Second

// finish completes a pending change. The process does it once for all callers, whose contexts
// do not end it.
func (g *Groups) finish(ctx context.Context, group *schemas.Group) error {
	_, err, _ := g.finishing.Do(string(group.Changed), func() (any, error) {
		ctx, cancel := context.WithTimeout(g.ctx, finishTimeout)
		defer cancel()
		return nil, g.finishOnce(ctx, group)
	})
	if err != nil {
		return fmt.Errorf("failed to finish the last change of group %s: %w", group.GroupID, err)
	}
	return ctx.Err()
}

func (g *Groups) finishOnce(ctx context.Context, group *schemas.Group) error {
	updates, removed := group.Pending.Updates, group.Pending.Gone
	users := make([]schemas.UserID, 0, len(group.Members)+len(removed))
	for _, m := range removed {
		users = append(users, m.UserID)
		user, err := g.users.User(ctx, m.UserID)
		if err != nil {
			return err
		}
		if !user.Had(updates[0].MessageID) {
			continue // the next owner of the name would find the membership
		}
		if err := g.memberships.end(ctx, group.GroupID, m, updates[0].MessageID); err != nil {
			return err
		}
	}
	for _, m := range group.Members {
		users = append(users, m.UserID)
	}
	for i := range updates {
		entry := updates[i].StoredUpdate()
		if err := g.inboxes.CommitUpdate(ctx, users, updates[i].MessageID, entry); err != nil {
			return err
		}
		g.events.PublishGroupChange(updates[i].GroupID, entry)
	}
	_, err := jsapi.Update(ctx, g.kv, string(group.GroupID), func(v schemas.Group, exists bool) (schemas.Group, error) {
		if !exists || v.Pending == nil || v.Changed != group.Changed {
			return v, jsapi.ErrUnchanged // another process has finished it
		}
		v.Pending = nil
		return v, nil
	})
	g.Heard(group.GroupID, group.Changed)
	if err == nil && len(group.Members) == 0 {
		err = g.delete(ctx, group.GroupID)
	}
	return err
}

// delete deletes a group without members, and the messages of its channel. No process changes
// such a group, so the deletion compares no revision.
func (g *Groups) delete(ctx context.Context, id schemas.GroupID) error {
	if err := g.channels.Delete(ctx, id); err != nil {
		return err
	}
	return g.kv.Delete(ctx, string(id))
}
