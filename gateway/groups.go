package gateway

import (
	"errors"
	"net/http"

	"roost/schemas"
	"roost/streams"
)

// createGroup is POST /groups.
func (s *Server) createGroup(r *http.Request, u schemas.UserID) (int, any, error) {
	var body schemas.NewGroup
	if e := schemas.DecodeBody(r.Body, &body); e != nil {
		return 0, nil, e
	}
	if e := body.Validate(u); e != nil {
		return 0, nil, e
	}
	q, known, err := s.request(r, u, &body)
	if err != nil {
		return 0, nil, err
	}
	if known {
		group, err := s.streams.Groups().Made(r.Context(), q, u, body)
		if err != nil {
			return 0, nil, groupError(err)
		}
		if group != nil {
			return http.StatusCreated, group.Info(), nil
		}
	}
	if len(body.Members)+1 > s.opts.MaxGroupMembers {
		return 0, nil, s.groupFull()
	}
	if err := s.allExist(r, body.Members...); err != nil {
		return 0, nil, err
	}
	group, err := s.streams.Groups().Create(r.Context(), q, u, body)
	if err != nil {
		return 0, nil, groupError(err)
	}
	return http.StatusCreated, group.Info(), nil
}

// listGroups is GET /groups.
func (s *Server) listGroups(r *http.Request, u schemas.UserID) (int, any, error) {
	groups, err := s.streams.Groups().Of(r.Context(), u)
	if err != nil {
		return 0, nil, groupUnavailable(err)
	}
	list := make([]schemas.GroupSummary, 0, len(groups))
	for _, g := range groups {
		member, _ := g.Member(u)
		list = append(list, g.Summary(member))
	}
	return http.StatusOK, list, nil
}

// getGroup is GET /groups/{group_id}. A change that is pending, of a gateway that died
// perhaps, is told before: who looks after a 503 need not make it again.
func (s *Server) getGroup(r *http.Request, u schemas.UserID) (int, any, error) {
	group, err := s.groupOf(r, u)
	if err != nil {
		return 0, nil, err
	}
	if group.Pending != nil {
		if _, err := s.streams.Groups().Group(r.Context(), group.GroupID); err != nil {
			return 0, nil, groupError(err)
		}
	}
	return http.StatusOK, group.Info(), nil
}

// patchGroup is PATCH /groups/{group_id}: its name, whether it keeps history, and
// after how many days messages disappear.
func (s *Server) patchGroup(r *http.Request, u schemas.UserID) (int, any, error) {
	var body schemas.GroupPatch
	if e := schemas.DecodeBody(r.Body, &body); e != nil {
		return 0, nil, e
	}
	if e := body.Validate(); e != nil {
		return 0, nil, e
	}
	return s.changeGroup(r, u, func(e *streams.Edit) error {
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

// changeGroup changes the group of the path, for a member, and answers with it.
func (s *Server) changeGroup(r *http.Request, u schemas.UserID, edit func(*streams.Edit) error) (int, any, error) {
	id, err := groupOfPath(r)
	if err != nil {
		return 0, nil, err
	}
	group, err := s.streams.Groups().Change(r.Context(), id, u, func(e *streams.Edit) error {
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

// groupOf is the group of the path, for a member.
func (s *Server) groupOf(r *http.Request, u schemas.UserID) (*schemas.Group, error) {
	id, err := groupOfPath(r)
	if err != nil {
		return nil, err
	}
	group, err := s.streams.Groups().Peek(r.Context(), id)
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

func memberOf(g *schemas.Group, u schemas.UserID) (schemas.Member, error) {
	m, ok := g.Member(u)
	if !ok {
		return m, notAMember()
	}
	return m, nil
}

// manages says whether u, a member, may manage the group.
func manages(g *schemas.Group, u schemas.UserID) error {
	if m, _ := g.Member(u); !m.Role.Manages() {
		return schemas.Errorf(schemas.CodeForbidden, "The owner and the admins of the group may do this; ask one of them.")
	}
	return nil
}

// allExist looks whether there are such users.
func (s *Server) allExist(r *http.Request, users ...schemas.UserID) error {
	people, err := s.directory.People(r.Context(), users)
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

func (s *Server) groupFull() error {
	return schemas.Errorf(schemas.CodeGroupFull, "A group has at most %d members. Nothing was changed.", s.opts.MaxGroupMembers)
}

// groupError is what a client is told of a group that could not be read or changed.
func groupError(err error) error {
	var told *schemas.Error
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, streams.ErrGroupFull):
		return schemas.Errorf(schemas.CodeGroupFull, "The ids of the members are too long for more of them. Nothing was changed.")
	case errors.Is(err, streams.ErrNoGroup):
		return schemas.Errorf(schemas.CodeNotFound, "group_id: there is no such group.")
	}
	return groupUnavailable(err)
}

func groupUnavailable(err error) error {
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: 1000, Cause: err,
		Message: "Not done in time. A change may be stored all the same: look at the group before you try again."}
}
