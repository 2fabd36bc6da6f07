package streams

import (
	"context"
	"fmt"
	"sync"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Receipts in groups: one watermark a member, in the messages of all others. That
// of somebody who is a member no more stays, and is not shown.

// AdvanceGroupReceipt moves the watermark of a member in the messages of a group up
// to w, if it is not there yet, and returns once that is durable.
func (c *Conn) AdvanceGroupReceipt(ctx context.Context, id schemas.GroupID, member schemas.UserID, w schemas.Watermark) error {
	return c.receipts.advance(ctx, watermarks{subject.GroupReceiptKey(id, member): w})
}

// GroupReceipts are the watermarks of some members of a group, in no order; who has
// none is not among them.
func (c *Conn) GroupReceipts(ctx context.Context, id schemas.GroupID, members []schemas.UserID) ([]schemas.ReceiptItem, error) {
	subjects := make([]string, len(members))
	for i, u := range members {
		subjects[i] = subject.Receipts.Subject(subject.GroupReceiptKey(id, u))
	}
	all, err := c.api.Lasts(ctx, subject.Receipts.Stream(), subjects)
	if err != nil {
		return nil, fmt.Errorf("failed to read the receipts of a group: %w", err)
	}
	return receiptItems(all), nil
}

// OfGroups are the watermarks of the other members of a user's groups: of at most n
// groups, and of those that receipts are shown in, see [schemas.MaxReceiptMembers]. It
// leaves out a watermark that says less than when the membership of either began.
func (ch *ReceiptChanges) OfGroups(ctx context.Context, u schemas.UserID, n int) ([]schemas.ReceiptItem, error) {
	groups, err := ch.c.groups.some(ctx, u, n, (*schemas.Group).ShowsReceipts)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards items
	var items []schemas.ReceiptItem
	err = jsapi.Parallel(ctx, len(groups), func(ctx context.Context, i int) error {
		group := groups[i]
		me, _ := group.Member(u)
		return ch.ofGroup(ctx, group.GroupID, func(page []schemas.ReceiptItem) {
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
