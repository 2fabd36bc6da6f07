package group

import (
	"context"
	"errors"
	"fmt"
	"math"

	"roost/schemas"
	"roost/streams/jsapi"
)

// LeaveAll has a user leave all groups before the account is deleted, with the same updates as
// if the user left each. It may be repeated.
func (g *Groups) LeaveAll(ctx context.Context, u schemas.UserID) error {
	return g.eachOf(ctx, u, math.MaxUint64, func(ctx context.Context, id schemas.GroupID) error {
		_, err := g.Change(ctx, id, u, func(e *Edit) error {
			if _, ok := e.Group.Member(u); ok {
				e.Remove(schemas.GroupLeft, u)
			}
			return nil
		})
		return err
	})
}

// RemoveDeleted removes a deleted user from the groups that others added the user to during
// the deletion. It looks at MEMBERSHIPS up to a sequence, because a later record may belong to
// the next owner of the name.
//
// It leaves the change pending, and the next read commits the updates: a worker may not write
// to inboxes. It stores nothing about the user, neither in an inbox nor in MEMBERSHIPS, because
// the next owner of the name would find it.
func (g *Groups) RemoveDeleted(ctx context.Context, u schemas.UserID, upTo uint64) error {
	return g.eachOf(ctx, u, upTo, func(ctx context.Context, id schemas.GroupID) error {
		group, err := jsapi.Update(ctx, g.kv, string(id), func(old schemas.Group, _ bool) (schemas.Group, error) {
			if _, ok := old.Member(u); !ok {
				return old, jsapi.ErrUnchanged
			}
			if old.Pending != nil {
				return old, errPending // the next read of the group finishes it
			}
			g.clock.Observe(old.Changed)
			edit := Edit{Group: &old, by: u, clock: g.clock}
			if edit.Remove(schemas.GroupLeft, u); len(old.Members) > 0 {
				edit.setPending(nil)
			}
			return old, nil
		})
		if err == nil && len(group.Members) == 0 && group.Pending == nil && group.GroupID != "" {
			err = g.delete(ctx, id) // no member is left who gets an update
		}
		return err
	})
}

// eachOf calls leave for the groups that a user is a member of. A group that does not exist is
// no error.
func (g *Groups) eachOf(ctx context.Context, u schemas.UserID, upTo uint64, leave func(context.Context, schemas.GroupID) error) error {
	ids, err := g.memberships.open(ctx, u, upTo, math.MaxInt)
	if err != nil {
		return err
	}
	return jsapi.Parallel(ctx, len(ids), func(ctx context.Context, i int) error {
		if err := leave(ctx, ids[i]); err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("failed to leave group %s: %w", ids[i], err)
		}
		return nil
	})
}
