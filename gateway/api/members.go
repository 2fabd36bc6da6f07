package api

import (
	"net/http"

	"roost/schemas"
	"roost/streams/group"
)

// addMember is POST /groups/{group_id}/members.
func (g *groups) addMember(r *http.Request, u schemas.UserID) (int, any, error) {
	var body schemas.NewMember
	if e := schemas.DecodeBody(r.Body, &body); e != nil {
		return 0, nil, e
	}
	if e := body.Validate(); e != nil {
		return 0, nil, e
	}
	if body.Role == "" {
		body.Role = schemas.RoleMember
	}
	q, known, err := requestID(g.streams, r, u, &body)
	if err != nil {
		return 0, nil, err
	}
	if known {
		group, err := g.of(r, u)
		if err != nil {
			return 0, nil, err
		}
		done, err := g.joined(r, q, group.GroupID, body.UserID)
		if err != nil {
			return 0, nil, err
		}
		if done {
			return http.StatusOK, group.Info(), nil
		}
	}
	if err := g.allExist(r, body.UserID); err != nil {
		return 0, nil, err
	}
	return g.change(r, u, func(e *group.Edit) error {
		if err := manages(e.Group, u); err != nil {
			return err
		}
		if me, _ := e.Group.Member(u); body.Role == schemas.RoleAdmin && me.Role != schemas.RoleOwner {
			return ownerOnly()
		}
		if _, ok := e.Group.Member(body.UserID); ok {
			return schemas.Errorf(schemas.CodeConflict, "user_id: %q is a member already.", body.UserID)
		}
		if len(e.Group.Members) >= g.maxMembers {
			return g.full()
		}
		since := e.Note(schemas.GroupAdded, body.UserID, body.Role)
		e.Group.Members = append(e.Group.Members, schemas.Member{UserID: body.UserID, Role: body.Role, Since: since})
		return nil
	})
}

// patchMember is PATCH /groups/{group_id}/members/{user_id}: the role.
func (g *groups) patchMember(r *http.Request, u schemas.UserID) (int, any, error) {
	var body schemas.RoleChange
	if e := schemas.DecodeBody(r.Body, &body); e != nil {
		return 0, nil, e
	}
	if e := body.Validate(); e != nil {
		return 0, nil, e
	}
	user, err := userOfPath(r)
	if err != nil {
		return 0, nil, err
	}
	return g.change(r, u, func(e *group.Edit) error {
		me, _ := e.Group.Member(u)
		if me.Role != schemas.RoleOwner {
			return ownerOnly()
		}
		member, ok := e.Group.Member(user)
		switch {
		case !ok:
			return noSuchMember()
		case member.Role == body.Role:
			return nil
		case user == u:
			return schemas.InvalidField("role", "You are the owner until you make another member the owner.")
		}
		demoted := e.Group.SetRole(user, body.Role)
		e.Note(schemas.GroupRole, user, body.Role)
		if demoted != "" {
			e.Note(schemas.GroupRole, demoted, schemas.RoleAdmin)
		}
		return nil
	})
}

// removeMember is DELETE /groups/{group_id}/members/{user_id}. A member who names themselves
// leaves.
func (g *groups) removeMember(r *http.Request, u schemas.UserID) (int, any, error) {
	user, err := userOfPath(r)
	if err != nil {
		return 0, nil, err
	}
	status, _, err := g.change(r, u, func(e *group.Edit) error {
		if user != u {
			if err := manages(e.Group, u); err != nil {
				return err
			}
		}
		member, ok := e.Group.Member(user)
		if !ok {
			return noSuchMember()
		}
		me, _ := e.Group.Member(u)
		switch {
		case user == u:
			e.Remove(schemas.GroupLeft, user)
		case me.Role == schemas.RoleOwner || member.Role == schemas.RoleMember:
			e.Remove(schemas.GroupRemoved, user)
		default:
			return ownerOnly()
		}
		return nil
	})
	return status, nil, err
}

// userOfPath returns the user that a path names.
func userOfPath(r *http.Request) (schemas.UserID, error) {
	u, err := schemas.ParseUserID(r.PathValue("user_id"))
	if err != nil {
		return "", schemas.InvalidField("user_id", "%v.", err)
	}
	return u, nil
}

func ownerOnly() error {
	return schemas.Errorf(schemas.CodeForbidden, "Only the owner of the group may do this.")
}

func noSuchMember() error {
	return schemas.Errorf(schemas.CodeNotFound, "user_id: is not a member of the group.")
}
