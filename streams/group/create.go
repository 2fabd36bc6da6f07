package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Create creates a group of its creator and other members, and returns after the update is in
// the inboxes of all of them. Several calls with the id of one request create one group, and
// all return it as it was created. They do not create it again after it was deleted. A request
// without an id creates another group each time.
func (g *Groups) Create(ctx context.Context, q schemas.Request, by schemas.UserID, body schemas.NewGroup) (*schemas.Group, error) {
	if q.ID == "" {
		q.ID = g.clock.Next()
	}
	group, err := g.newGroup(q, by, body)
	if err != nil {
		return nil, err
	}
	if err := g.memberships.begin(ctx, group.GroupID, group.Members); err != nil {
		return nil, err
	}
	// Revision 0 is that of a key that was never written. Create of the bucket would also
	// write a key that was deleted.
	_, err = g.kv.Update(ctx, string(group.GroupID), schemas.Encode(group), 0)
	switch {
	case err == nil:
		return group, g.finish(ctx, group)
	case !jsapi.IsConflict(err):
		return nil, fmt.Errorf("failed to write group %s: %w", group.GroupID, err)
	}
	if _, err := g.Group(ctx, group.GroupID); err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	return group, nil
}

// Made returns the group that a request created, as it was created, after the update is in the
// inboxes of all members. It returns nil if the request has not created a group yet.
func (g *Groups) Made(ctx context.Context, q schemas.Request, by schemas.UserID, body schemas.NewGroup) (*schemas.Group, error) {
	_, err := g.Group(ctx, q.GroupID())
	if errors.Is(err, ErrNotFound) {
		var deleted bool
		if deleted, err = g.wasWritten(ctx, q.GroupID()); err == nil && !deleted {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return g.newGroup(q, by, body)
}

// wasWritten says whether a group of that id exists or existed.
func (g *Groups) wasWritten(ctx context.Context, id schemas.GroupID) (was bool, err error) {
	err = g.api.Do(ctx, func(ctx context.Context) error {
		stream, err := g.api.JS.Stream(ctx, subject.Groups.Stream())
		if err == nil {
			_, err = stream.GetLastMsgForSubject(ctx, subject.Groups.Subject(string(id)))
		}
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		was = err == nil
		return err
	})
	if err != nil {
		return false, fmt.Errorf("failed to look for group %s: %w", id, err)
	}
	return was, nil
}

// newGroup returns the group that a request creates, with its creation pending.
func (g *Groups) newGroup(q schemas.Request, by schemas.UserID, body schemas.NewGroup) (*schemas.Group, error) {
	id := q.ID
	group := &schemas.Group{GroupID: q.GroupID(), GroupName: body.GroupName, CreatedAt: id.Time(),
		Members: make([]schemas.Member, 0, len(body.Members)+1)}
	group.SetHistory(body.HistoryStorage, group.CreatedAt)
	group.DisappearingDays = body.DisappearingDays
	edit := Edit{Group: group, by: by, clock: g.clock}
	edit.note(id, schemas.GroupCreated, "", "")
	group.Members = append(group.Members, schemas.Member{UserID: by, Role: schemas.RoleOwner, Since: id})
	for _, u := range body.Members {
		group.Members = append(group.Members, schemas.Member{UserID: u, Role: schemas.RoleMember, Since: id})
	}
	if edit.setPending(nil); !group.Fits() {
		return nil, ErrFull
	}
	return group, nil
}
