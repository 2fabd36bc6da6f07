package api

import (
	"net/http"

	"roost/schemas"
)

// receipts is GET /groups/{group_id}/receipts. It leaves out the caller, and members who joined
// after the message.
func (g *groups) receipts(r *http.Request, u schemas.UserID) (int, any, error) {
	message, err := schemas.ParseMessageID(r.URL.Query().Get("message_id"))
	if err != nil {
		return 0, nil, schemas.InvalidField("message_id", "%v.", err)
	}
	group, err := g.of(r, u)
	if err != nil {
		return 0, nil, err
	}
	ctx := r.Context()
	users := []schemas.UserID{u}
	for _, m := range group.Members {
		if m.UserID != u && m.Since < message {
			users = append(users, m.UserID)
		}
	}
	people, err := g.directory.Users(ctx, users)
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	found, err := g.streams.Receipts().OfGroup(ctx, group.GroupID, users[1:])
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	marks := make(map[schemas.UserID]schemas.ReceiptItem, len(found))
	for _, item := range found {
		marks[item.UserID] = item
	}
	answer := schemas.GroupReceipts{MessageID: message, Members: len(users) - 1, Items: make([]schemas.GroupReceipt, 0, len(users)-1)}
	for i, other := range users[1:] {
		mark := marks[other]
		if !people[0].Settings.ReadReceipts || !people[i+1].Settings.ReadReceipts {
			mark.ReadUpTo = ""
		}
		if mark.DeliveredUpTo >= message {
			answer.Delivered++
		}
		if mark.ReadUpTo >= message {
			answer.Read++
		}
		answer.Items = append(answer.Items, schemas.GroupReceipt{UserID: other, DeliveredUpTo: mark.DeliveredUpTo, ReadUpTo: mark.ReadUpTo})
	}
	return http.StatusOK, answer, nil
}
