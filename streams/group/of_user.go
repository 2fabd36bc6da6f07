package group

import (
	"context"
	"errors"
	"math"
	"sync"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/jsapi"
	"roost/streams/receipts"
)

// Of returns the groups of a user. In a cluster the list may be a moment old.
func (g *Groups) Of(ctx context.Context, u schemas.UserID) ([]*schemas.Group, error) {
	ids, err := g.memberships.open(ctx, u, math.MaxUint64, math.MaxInt)
	if err != nil {
		return nil, err
	}
	return g.joined(ctx, u, ids)
}

// Seen returns the groups of which a user was a member at some time.
func (g *Groups) Seen(ctx context.Context, u schemas.UserID) (ids []schemas.GroupID, err error) {
	var open []schemas.GroupID // the user is a member, or was about to become one: the group says which
	err = g.memberships.each(ctx, u, func(_ uint64, id schemas.GroupID, m schemas.Membership) bool {
		if len(m.Seen(u, nil)) > 0 {
			ids = append(ids, id)
		} else {
			open = append(open, id)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	groups, err := g.joined(ctx, u, open)
	for _, group := range groups {
		ids = append(ids, group.GroupID)
	}
	return ids, err
}

// joined returns those of some groups of which a user is a member.
func (g *Groups) joined(ctx context.Context, u schemas.UserID, ids []schemas.GroupID) ([]*schemas.Group, error) {
	found := make([]*schemas.Group, len(ids))
	err := jsapi.Parallel(ctx, len(ids), func(ctx context.Context, i int) error {
		group, err := g.Peek(ctx, ids[i])
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		found[i] = group
		return err
	})
	groups := make([]*schemas.Group, 0, len(found))
	for _, group := range found {
		if group == nil {
			continue
		}
		if _, ok := group.Member(u); ok { // otherwise the user was about to become one
			groups = append(groups, group)
		}
	}
	return groups, err
}

// maxSearched bounds the groups of a user among which some searches.
const maxSearched = 256

// some returns at most n groups of a user that match, by states that this process read
// recently.
func (g *Groups) some(ctx context.Context, u schemas.UserID, n int, match func(*schemas.Group) bool) (groups []*schemas.Group, err error) {
	ids, err := g.memberships.open(ctx, u, math.MaxUint64, maxSearched)
	if err != nil {
		return nil, err
	}
	found := make([]*schemas.Group, len(ids))
	err = jsapi.Parallel(ctx, len(ids), func(ctx context.Context, i int) error {
		group, err := g.Recent(ctx, ids[i], directory.CacheTTL)
		if err == nil && match(group) {
			if _, ok := group.Member(u); !ok { // the user joined after that read
				group, err = g.Peek(ctx, ids[i])
			}
		}
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		found[i] = group
		return err
	})
	for _, group := range found {
		if group == nil || !match(group) || len(groups) == n {
			continue
		}
		if _, ok := group.Member(u); ok {
			groups = append(groups, group)
		}
	}
	return groups, err
}

// Channels returns at most n groups of a user that have more than limit members, by states
// that this process read recently.
func (g *Groups) Channels(ctx context.Context, u schemas.UserID, limit, n int) ([]*schemas.Group, error) {
	return g.some(ctx, u, n, func(g *schemas.Group) bool { return len(g.Members) > limit })
}

// ReceiptChanges returns the changed watermarks of the other members of a user's groups: of at
// most n groups that show receipts, see [schemas.MaxReceiptMembers]. It leaves out a watermark
// from before either of the two users joined.
func (g *Groups) ReceiptChanges(ctx context.Context, changes *receipts.Changes, u schemas.UserID, n int) ([]schemas.ReceiptItem, error) {
	groups, err := g.some(ctx, u, n, (*schemas.Group).ShowsReceipts)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards items
	var items []schemas.ReceiptItem
	err = jsapi.Parallel(ctx, len(groups), func(ctx context.Context, i int) error {
		group := groups[i]
		me, _ := group.Member(u)
		return changes.OfGroup(ctx, group.GroupID, func(page []schemas.ReceiptItem) {
			mu.Lock()
			defer mu.Unlock()
			for _, item := range page {
				other, ok := group.Member(item.UserID)
				if ok && item.UserID != u && max(item.DeliveredUpTo, item.ReadUpTo) > max(me.Since, other.Since) {
					items = append(items, item)
				}
			}
		})
	})
	return items, err
}
