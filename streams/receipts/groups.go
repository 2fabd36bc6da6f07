package receipts

import (
	"context"
	"fmt"

	"roost/schemas"
	"roost/streams/subject"
)

// A group has one watermark for each member, in the messages of all others. The
// watermark of a former member stays, and is not shown.

// AdvanceInGroup moves the watermark of a member in the messages of a group up
// to w, if it is not there yet, and returns once that is durable.
func (r *Receipts) AdvanceInGroup(ctx context.Context, id schemas.GroupID, member schemas.UserID, w schemas.Watermark) error {
	return r.AdvanceAll(ctx, Marks{subject.GroupReceiptKey(id, member): w})
}

// OfGroup returns the watermarks of some members of a group, in no order. A member
// without a watermark is not in it.
func (r *Receipts) OfGroup(ctx context.Context, id schemas.GroupID, members []schemas.UserID) ([]schemas.ReceiptItem, error) {
	subjects := make([]string, len(members))
	for i, u := range members {
		subjects[i] = subject.Receipts.Subject(subject.GroupReceiptKey(id, u))
	}
	all, err := r.api.Lasts(ctx, subject.Receipts.Stream(), subjects)
	if err != nil {
		return nil, fmt.Errorf("failed to read the receipts of a group: %w", err)
	}
	return receiptItems(all), nil
}
