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

// CreateGroup makes a group whose owner is the user. The code is unknown_receiver
// where a member is no user, and group_full where there are too many.
func (a *API) CreateGroup(ctx context.Context, group schemas.NewGroup) (schemas.GroupInfo, error) {
	var info schemas.GroupInfo
	err := a.call(ctx, http.MethodPost, "/groups", group, &info)
	return info, err
}

// Groups lists the groups that the user is a member of.
func (a *API) Groups(ctx context.Context) ([]schemas.GroupSummary, error) {
	var groups []schemas.GroupSummary
	err := a.call(ctx, http.MethodGet, "/groups", nil, &groups)
	return groups, err
}

// Group reads a group. The code is not_found where there is none, and not_a_member
// where it is one of others.
func (a *API) Group(ctx context.Context, id schemas.GroupID) (schemas.GroupInfo, error) {
	var info schemas.GroupInfo
	err := a.call(ctx, http.MethodGet, groupPath(id), nil, &info)
	return info, err
}

// ChangeGroup changes the fields that are set. It is for the owner and admins; the
// code is forbidden for others.
func (a *API) ChangeGroup(ctx context.Context, id schemas.GroupID, change schemas.GroupPatch) (schemas.GroupInfo, error) {
	var info schemas.GroupInfo
	err := a.call(ctx, http.MethodPatch, groupPath(id), change, &info)
	return info, err
}

// AddMember adds somebody to a group, as a member where role is empty. The code is
// conflict for one who is in it already.
func (a *API) AddMember(ctx context.Context, id schemas.GroupID, user schemas.UserID, role schemas.Role) (schemas.GroupInfo, error) {
	var info schemas.GroupInfo
	err := a.call(ctx, http.MethodPost, groupPath(id)+"/members", schemas.NewMember{UserID: user, Role: role}, &info)
	return info, err
}

// ChangeRole gives a member another role. The owner makes another member the owner
// by it.
func (a *API) ChangeRole(ctx context.Context, id schemas.GroupID, user schemas.UserID, role schemas.Role) (schemas.GroupInfo, error) {
	var info schemas.GroupInfo
	err := a.call(ctx, http.MethodPatch, memberPath(id, user), schemas.RoleChange{Role: role}, &info)
	return info, err
}

// RemoveMember takes somebody out of a group; who names themselves leaves it.
func (a *API) RemoveMember(ctx context.Context, id schemas.GroupID, user schemas.UserID) error {
	return a.call(ctx, http.MethodDelete, memberPath(id, user), nil, nil)
}

// GroupReceipts says how many of the members whom a message of the user went to have got
// and read it, and how far each of them is. Members who show nobody what they read count
// as not having read.
func (a *API) GroupReceipts(ctx context.Context, id schemas.GroupID, message schemas.MessageID) (schemas.GroupReceipts, error) {
	var receipts schemas.GroupReceipts
	query := url.Values{"message_id": {string(message)}}
	err := a.call(ctx, http.MethodGet, groupPath(id)+"/receipts?"+query.Encode(), nil, &receipts)
	return receipts, err
}

// GroupChat is a page of what a group keeps, newest first, for its members,
// whenever they joined; see [API.History] for the next one. Of a channel it is what was
// sent since they joined as well. The code is history_off where there is neither.
func (a *API) GroupChat(ctx context.Context, id schemas.GroupID, bounds schemas.PageBounds) ([]schemas.HistoryMessage, error) {
	return a.page(ctx, "/chat/"+url.PathEscape(string(id)), "timestamp", bounds)
}
