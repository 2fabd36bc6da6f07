package streams

import (
	"context"
	"sync"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/receipts"
)

// ReceiptChanges returns the changed watermarks of the other members of a user's groups:
// of at most n groups, and of those that receipts are shown in, see
// [schemas.MaxReceiptMembers]. It leaves out a watermark that says less than when the
// membership of either began.
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

// Channels are at most n of a user's groups that have more than limit members, by what
// this process read of late.
func (g *Groups) Channels(ctx context.Context, u schemas.UserID, limit, n int) ([]*schemas.Group, error) {
	return g.some(ctx, u, n, func(g *schemas.Group) bool { return len(g.Members) > limit })
}
