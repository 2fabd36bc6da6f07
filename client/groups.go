package client

import (
	"context"
	"net/http"
	"net/url"

	"roost/schemas"
)

func groupPath(id schemas.GroupID) string { return "/groups/" + url.PathEscape(string(id)) }

func memberPath(id schemas.GroupID, user schemas.UserID) string {
	return groupPath(id) + "/members/" + url.PathEscape(string(user))
}

// CreateGroup creates a group with the user as its owner. The code is unknown_receiver if a
// member does not exist, and group_full if there are too many members.
func (a *API) CreateGroup(ctx context.Context, group schemas.NewGroup) (schemas.GroupInfo, error) {
	var info schemas.GroupInfo
	err := a.call(ctx, http.MethodPost, "/groups", group, &info)
	return info, err
}

// Groups lists the user's groups.
func (a *API) Groups(ctx context.Context) ([]schemas.GroupSummary, error) {
	var groups []schemas.GroupSummary
	err := a.call(ctx, http.MethodGet, "/groups", nil, &groups)
	return groups, err
}

// Group reads a group. The code is not_found if it does not exist, and not_a_member if the
// user is not a member.
func (a *API) Group(ctx context.Context, id schemas.GroupID) (schemas.GroupInfo, error) {
	var info schemas.GroupInfo
	err := a.call(ctx, http.MethodGet, groupPath(id), nil, &info)
	return info, err
}

// ChangeGroup changes the fields that are set. Only the owner and admins may do so; for other
// members the code is forbidden.
func (a *API) ChangeGroup(ctx context.Context, id schemas.GroupID, change schemas.GroupPatch) (schemas.GroupInfo, error) {
	var info schemas.GroupInfo
	err := a.call(ctx, http.MethodPatch, groupPath(id), change, &info)
	return info, err
}

// AddMember adds a user to a group. An empty role means member. The code is conflict if the
// user is in the group already.
func (a *API) AddMember(ctx context.Context, id schemas.GroupID, user schemas.UserID, role schemas.Role) (schemas.GroupInfo, error) {
	var info schemas.GroupInfo
	err := a.call(ctx, http.MethodPost, groupPath(id)+"/members", schemas.NewMember{UserID: user, Role: role}, &info)
	return info, err
}

// ChangeRole gives a member another role. The owner can make another member the owner.
func (a *API) ChangeRole(ctx context.Context, id schemas.GroupID, user schemas.UserID, role schemas.Role) (schemas.GroupInfo, error) {
	var info schemas.GroupInfo
	err := a.call(ctx, http.MethodPatch, memberPath(id, user), schemas.RoleChange{Role: role}, &info)
	return info, err
}

// RemoveMember removes a user from a group. To leave a group, users remove themselves.
func (a *API) RemoveMember(ctx context.Context, id schemas.GroupID, user schemas.UserID) error {
	return a.call(ctx, http.MethodDelete, memberPath(id, user), nil, nil)
}

// GroupReceipts returns how many receivers of a message of the user have received and read
// it, and the watermarks of each member. Members with read receipts off count as not having
// read it.
func (a *API) GroupReceipts(ctx context.Context, id schemas.GroupID, message schemas.MessageID) (schemas.GroupReceipts, error) {
	var receipts schemas.GroupReceipts
	query := url.Values{"message_id": {string(message)}}
	err := a.call(ctx, http.MethodGet, groupPath(id)+"/receipts?"+query.Encode(), nil, &receipts)
	return receipts, err
}

// GroupChat returns a page of the messages that a group keeps, newest first. Members see all
// of them, whenever they joined. For a channel it also has the messages since the member
// joined. See [API.History] for the next page. The code is history_off if the group is not a
// channel and keeps no history.
func (a *API) GroupChat(ctx context.Context, id schemas.GroupID, bounds schemas.PageBounds) ([]schemas.HistoryMessage, error) {
	return a.page(ctx, "/chat/"+url.PathEscape(string(id)), "timestamp", bounds)
}
