package streams

import (
	"context"
	"errors"
	"fmt"
	"math"

	"roost/schemas"
	"roost/streams/jsapi"
)

// Who deletes the account leaves all groups.

// leaveAll has a person leave all groups, as they would one by one. It may be
// repeated.
func (g *Groups) leaveAll(ctx context.Context, u schemas.UserID) error {
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

// leaveRest takes somebody who is no more out of the groups that they were added to
// meanwhile, up to a sequence of MEMBERSHIPS: what is behind it is of whoever has the
// name by then. It writes the change, and whoever reads the group next tells the
// members: a worker may not write to inboxes. Nothing about the person is written,
// neither to an inbox nor to MEMBERSHIPS, whose next owner would find it.
func (g *Groups) leaveRest(ctx context.Context, u schemas.UserID, upTo uint64) error {
	return g.eachOf(ctx, u, upTo, func(ctx context.Context, id schemas.GroupID) error {
		group, err := jsapi.Update(ctx, g.kv, string(id), func(old schemas.Group, _ bool) (schemas.Group, error) {
			if _, ok := old.Member(u); !ok {
				return old, jsapi.ErrUnchanged
			}
			if old.Pending != nil {
				return old, errPending // whoever reads the group next finishes it
			}
			g.c.clock.Observe(old.Changed)
			edit := Edit{Group: &old, by: u, clock: g.c.clock}
			if edit.Remove(schemas.GroupLeft, u); len(old.Members) > 0 {
				edit.pending(nil)
			}
			return old, nil
		})
		if err == nil && len(group.Members) == 0 && group.Pending == nil && group.GroupID != "" {
			if err = g.c.Channels().Forget(ctx, id); err == nil {
				err = g.kv.Delete(ctx, string(id)) // nobody is left to be told
			}
		}
		return err
	})
}

// eachOf calls leave for the groups that a person is a member of. That there is no
// such group is no error.
func (g *Groups) eachOf(ctx context.Context, u schemas.UserID, upTo uint64, leave func(context.Context, schemas.GroupID) error) error {
	ids, err := g.open(ctx, u, upTo, math.MaxInt)
	if err != nil {
		return err
	}
	return jsapi.Parallel(ctx, len(ids), func(ctx context.Context, i int) error {
		if err := leave(ctx, ids[i]); err != nil && !errors.Is(err, ErrNoGroup) {
			return fmt.Errorf("failed to leave group %s: %w", ids[i], err)
		}
		return nil
	})
}
