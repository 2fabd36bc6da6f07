package api

import (
	"errors"
	"net/http"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/group"
)

// groups serves groups and their members.
type groups struct {
	streams    *streams.Conn
	directory  *directory.Directory
	maxMembers int
}

// create is POST /groups.
func (g *groups) create(r *http.Request, u schemas.UserID) (int, any, error) {
	var body schemas.NewGroup
	if e := schemas.DecodeBody(r.Body, &body); e != nil {
		return 0, nil, e
	}
	if e := body.Validate(u); e != nil {
		return 0, nil, e
	}
	q, known, err := requestID(g.streams, r, u, &body)
	if err != nil {
		return 0, nil, err
	}
	if known {
		group, err := g.streams.Groups().Made(r.Context(), q, u, body)
		if err != nil {
			return 0, nil, groupError(err)
		}
		if group != nil {
			return http.StatusCreated, group.Info(), nil
		}
	}
	if len(body.Members)+1 > g.maxMembers {
		return 0, nil, g.full()
	}
	if err := g.allExist(r, body.Members...); err != nil {
		return 0, nil, err
	}
	group, err := g.streams.Groups().Create(r.Context(), q, u, body)
	if err != nil {
		return 0, nil, groupError(err)
	}
	return http.StatusCreated, group.Info(), nil
}

// list is GET /groups.
func (g *groups) list(r *http.Request, u schemas.UserID) (int, any, error) {
	all, err := g.streams.Groups().Of(r.Context(), u)
	if err != nil {
		return 0, nil, groupUnavailable(err)
	}
	list := make([]schemas.GroupSummary, 0, len(all))
	for _, group := range all {
		member, _ := group.Member(u)
		list = append(list, group.Summary(member))
	}
	return http.StatusOK, list, nil
}

// get is GET /groups/{group_id}. It first completes a pending change, perhaps of a gateway that
// died, so that a client that reads after a 503 need not repeat the change.
func (g *groups) get(r *http.Request, u schemas.UserID) (int, any, error) {
	group, err := g.of(r, u)
	if err != nil {
		return 0, nil, err
	}
	if group.Pending != nil {
		if _, err := g.streams.Groups().Group(r.Context(), group.GroupID); err != nil {
			return 0, nil, groupError(err)
		}
	}
	return http.StatusOK, group.Info(), nil
}

// patch is PATCH /groups/{group_id}: its name, whether it keeps history, and after how many days
// messages disappear.
func (g *groups) patch(r *http.Request, u schemas.UserID) (int, any, error) {
	var body schemas.GroupPatch
	if e := schemas.DecodeBody(r.Body, &body); e != nil {
		return 0, nil, e
	}
	if e := body.Validate(); e != nil {
		return 0, nil, e
	}
	return g.change(r, u, func(e *group.Edit) error {
		if err := manages(e.Group, u); err != nil {
			return err
		}
		if name := body.GroupName; name != nil && *name != e.Group.GroupName {
			e.Group.GroupName = *name
			e.Note(schemas.GroupRenamed, "", "")
		}
		if days := body.HistoryStorage; days != nil && *days != e.Group.HistoryStorage {
			e.Group.SetHistory(*days, e.At)
			e.Note(schemas.GroupHistory, "", "")
		}
		if days := body.DisappearingDays; days != nil && *days != e.Group.DisappearingDays {
			e.Group.DisappearingDays = *days
			e.Note(schemas.GroupDisappearing, "", "")
		}
		return nil
	})
}

// change changes the group of the path, for a member, and answers with it.
func (g *groups) change(r *http.Request, u schemas.UserID, edit func(*group.Edit) error) (int, any, error) {
	id, err := groupOfPath(r)
	if err != nil {
		return 0, nil, err
	}
	group, err := g.streams.Groups().Change(r.Context(), id, u, func(e *group.Edit) error {
		if _, err := memberOf(e.Group, u); err != nil {
			return err
		}
		return edit(e)
	})
	if err != nil {
		return 0, nil, groupError(err)
	}
	return http.StatusOK, group.Info(), nil
}

// of returns the group of the path, if u is a member.
func (g *groups) of(r *http.Request, u schemas.UserID) (*schemas.Group, error) {
	id, err := groupOfPath(r)
	if err != nil {
		return nil, err
	}
	group, err := g.streams.Groups().Peek(r.Context(), id)
	if err != nil {
		return nil, groupError(err)
	}
	_, err = memberOf(group, u)
	return group, err
}

func groupOfPath(r *http.Request) (schemas.GroupID, error) {
	id, err := schemas.ParseGroupID(r.PathValue("group_id"))
	if err != nil {
		return "", schemas.InvalidField("group_id", "%v.", err)
	}
	return id, nil
}

// NotAMember is the answer to a user who is not a member of a group, or names a group that does
// not exist. Ids of groups cannot be found out by trying.
func NotAMember() *schemas.Error {
	return schemas.Errorf(schemas.CodeNotAMember, "group_id: you are not a member of that group.")
}

func memberOf(g *schemas.Group, u schemas.UserID) (schemas.Member, error) {
	m, ok := g.Member(u)
	if !ok {
		return m, NotAMember()
	}
	return m, nil
}

// manages returns an error unless u, a member, may manage the group.
func manages(g *schemas.Group, u schemas.UserID) error {
	if m, _ := g.Member(u); !m.Role.Manages() {
		return schemas.Errorf(schemas.CodeForbidden, "Only the owner and the admins of the group may do this.")
	}
	return nil
}

// allExist returns an error unless all users exist.
func (g *groups) allExist(r *http.Request, users ...schemas.UserID) error {
	people, err := g.directory.Users(r.Context(), users)
	if err != nil {
		return groupUnavailable(err)
	}
	for i, p := range people {
		if !p.Exists {
			return schemas.Errorf(schemas.CodeUnknownReceiver, "There is no user %q. Nothing was changed.", users[i])
		}
	}
	return nil
}

func (g *groups) full() error {
	return schemas.Errorf(schemas.CodeGroupFull, "A group has at most %d members. Nothing was changed.", g.maxMembers)
}

// groupError is the answer if a group could not be read or changed.
func groupError(err error) error {
	var told *schemas.Error
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, group.ErrFull):
		return schemas.Errorf(schemas.CodeGroupFull, "The ids of the members are too long for more of them. Nothing was changed.")
	case errors.Is(err, group.ErrNotFound):
		return schemas.Errorf(schemas.CodeNotFound, "group_id: there is no such group.")
	}
	return groupUnavailable(err)
}

func groupUnavailable(err error) error {
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: 1000, Cause: err,
		Message: "The request was not completed in time, and a change may be stored. Read the group before you retry."}
}
