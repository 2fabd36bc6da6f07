package group

import (
	"errors"

	"roost/schemas"
	"roost/streams/msgid"
)

// Edit is a change of a group that is being made.
type Edit struct {
	Group *schemas.Group // the state before, which the caller changes
	At    schemas.Timestamp

	by      schemas.UserID
	clock   *msgid.Clock
	updates []schemas.GroupChange
}

// Note adds an update that members get, in the order of the calls, and returns its id. user and
// role are empty if the update is about no single member.
func (e *Edit) Note(kind schemas.GroupChangeKind, user schemas.UserID, role schemas.Role) schemas.MessageID {
	id := e.clock.Next()
	e.note(id, kind, user, role)
	return id
}

func (e *Edit) note(id schemas.MessageID, kind schemas.GroupChangeKind, user schemas.UserID, role schemas.Role) {
	e.updates = append(e.updates, schemas.GroupChange{MessageID: id, GroupID: e.Group.GroupID, Change: kind,
		ByUserID: e.by, UserID: user, Role: role, Timestamp: id.Time()})
}

// Remove removes a member of the group, and adds the updates for it: kind, which is left or
// removed, and the new owner if the owner left.
func (e *Edit) Remove(kind schemas.GroupChangeKind, user schemas.UserID) {
	e.Note(kind, user, "")
	if heir := e.Group.Remove(user); heir != "" {
		e.Note(schemas.GroupRole, heir, schemas.RoleOwner)
	}
}

// setPending makes the updates the pending change of the group.
func (e *Edit) setPending(removed []schemas.Member) {
	for i := range e.updates {
		e.updates[i].GroupName, e.updates[i].HistoryStorage = e.Group.GroupName, e.Group.HistoryStorage
		e.updates[i].DisappearingDays = e.Group.DisappearingDays
	}
	e.Group.Changed = e.updates[len(e.updates)-1].MessageID
	e.Group.Pending = &schemas.PendingChange{Updates: e.updates, Gone: removed}
}

// errPending means that the last change of the group is to be finished first.
var errPending = errors.New("a change of the group is pending")
