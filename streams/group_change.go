package streams

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/msgid"
	"roost/streams/subject"
)

// Edit is a change of a group that is being made.
type Edit struct {
	Group *schemas.Group // as it was, to be changed
	At    schemas.Timestamp

	by      schemas.UserID
	clock   *msgid.Clock
	updates []schemas.GroupChange
}

// Note says what was changed, in the order in which members shall hear of it, and
// returns its id. user and role are empty where it is about nobody alone.
func (e *Edit) Note(kind schemas.GroupChangeKind, user schemas.UserID, role schemas.Role) schemas.MessageID {
	id := e.clock.Next()
	e.note(id, kind, user, role)
	return id
}

func (e *Edit) note(id schemas.MessageID, kind schemas.GroupChangeKind, user schemas.UserID, role schemas.Role) {
	e.updates = append(e.updates, schemas.GroupChange{MessageID: id, GroupID: e.Group.GroupID, Change: kind,
		ByUserID: e.by, UserID: user, Role: role, Timestamp: id.Time()})
}

// Remove takes a member, who is there, out, and notes that and who owns the group
// then; kind is left or removed.
func (e *Edit) Remove(kind schemas.GroupChangeKind, user schemas.UserID) {
	e.Note(kind, user, "")
	if heir := e.Group.Remove(user); heir != "" {
		e.Note(schemas.GroupRole, heir, schemas.RoleOwner)
	}
}

// pending makes what was noted the last change of the group.
func (e *Edit) pending(gone []schemas.Member) {
	for i := range e.updates {
		e.updates[i].GroupName, e.updates[i].HistoryStorage = e.Group.GroupName, e.Group.HistoryStorage
		e.updates[i].DisappearingDays = e.Group.DisappearingDays
	}
	e.Group.Changed = e.updates[len(e.updates)-1].MessageID
	e.Group.Pending = &schemas.PendingChange{Updates: e.updates, Gone: gone}
}

// errPending: the group's last change is to be finished first.
var errPending = errors.New("a change of the group is pending")

// Create makes a group of its creator and other members, and returns once all of
// them have been told. Under the id of a request it may be repeated, by several at once:
// one makes the group, and all return it as it was made. One that was deleted since is
// not made again. A request without an id makes another group each time.
func (g *Groups) Create(ctx context.Context, q schemas.Request, by schemas.UserID, body schemas.NewGroup) (*schemas.Group, error) {
	if q.ID == "" {
		q.ID = g.c.clock.Next()
	}
	group, err := g.newGroup(q, by, body)
	if err != nil {
		return nil, err
	}
	if err := g.begin(ctx, group, group.Members); err != nil {
		return nil, err
	}
	// Revision 0 is that of a key which nobody ever wrote: Create would make a group
	// again that was deleted.
	_, err = g.kv.Update(ctx, string(group.GroupID), schemas.Encode(group), 0)
	switch {
	case err == nil:
		return group, g.finish(ctx, group)
	case !jsapi.IsConflict(err):
		return nil, fmt.Errorf("failed to write group %s: %w", group.GroupID, err)
	}
	if _, err := g.Group(ctx, group.GroupID); err != nil && !errors.Is(err, ErrNoGroup) {
		return nil, err
	}
	return group, nil
}

// Made returns the group that a request made, as it was made, or nil where it has made
// none yet. All members have been told then.
func (g *Groups) Made(ctx context.Context, q schemas.Request, by schemas.UserID, body schemas.NewGroup) (*schemas.Group, error) {
	_, err := g.Group(ctx, q.GroupID())
	if errors.Is(err, ErrNoGroup) {
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

// wasWritten says whether there was ever a group of that id.
func (g *Groups) wasWritten(ctx context.Context, id schemas.GroupID) (was bool, err error) {
	err = g.c.api.Do(ctx, func(ctx context.Context) error {
		stream, err := g.c.api.JS.Stream(ctx, subject.Groups.Stream())
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

// newGroup is the group that a request makes, its members not told yet.
func (g *Groups) newGroup(q schemas.Request, by schemas.UserID, body schemas.NewGroup) (*schemas.Group, error) {
	id := q.ID
	group := &schemas.Group{GroupID: q.GroupID(), GroupName: body.GroupName, CreatedAt: id.Time(),
		Members: make([]schemas.Member, 0, len(body.Members)+1)}
	group.SetHistory(body.HistoryStorage, group.CreatedAt)
	group.DisappearingDays = body.DisappearingDays
	edit := Edit{Group: group, by: by, clock: g.c.clock}
	edit.note(id, schemas.GroupCreated, "", "")
	group.Members = append(group.Members, schemas.Member{UserID: by, Role: schemas.RoleOwner, Since: id})
	for _, u := range body.Members {
		group.Members = append(group.Members, schemas.Member{UserID: u, Role: schemas.RoleMember, Since: id})
	}
	if edit.pending(nil); !group.Fits() {
		return nil, ErrGroupFull
	}
	return group, nil
}

// Change changes a group, and returns once everybody who was or is a member has
// been told. edit may be called several times, each time with the newest state;
// where it notes nothing, the group stays as it is, and where it fails, too. The
// error is [ErrNoGroup] where there is none. Any other error may mean that the
// change was written: whoever reads the group next finishes it.
func (g *Groups) Change(ctx context.Context, id schemas.GroupID, by schemas.UserID, edit func(*Edit) error) (*schemas.Group, error) {
	done, err := g.turn(ctx, id)
	if err != nil {
		return nil, err
	}
	defer done()
	for attempt := range jsapi.Attempts {
		if err := backOff(ctx, attempt); err != nil {
			return nil, fmt.Errorf("failed to change group %s: %w", id, err)
		}
		if _, err := g.Group(ctx, id); err != nil {
			return nil, err
		}
		group, err := jsapi.Update(ctx, g.kv, string(id), func(old schemas.Group, exists bool) (schemas.Group, error) {
			switch {
			case !exists || len(old.Members) == 0 && old.Pending == nil:
				return old, ErrNoGroup
			case old.Pending != nil:
				return old, errPending
			}
			return g.apply(ctx, old, by, edit)
		})
		switch {
		case errors.Is(err, errPending):
			continue
		case err != nil:
			return nil, err
		case group.Pending != nil:
			err = g.finish(ctx, &group)
		}
		return &group, err
	}
	return nil, fmt.Errorf("failed to change group %s: %w", id, jsapi.ErrContended)
}

// maxBackOff bounds the pause before a change is tried again.
const maxBackOff = 128 * time.Millisecond

// backOff waits before an attempt, the first one excepted: at random, and longer each
// time, so that gateways which change one group do not overtake one another for ever.
func backOff(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return nil
	}
	select {
	case <-time.After(rand.N(min(time.Millisecond<<min(attempt, 10), maxBackOff))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// turn is whose it is to change a group: of many who do so at once each would be
// overtaken again and again.
type turn struct {
	taken  chan struct{} // 1 long; holds one while somebody changes the group, others wait for it to end
	asking int           // who has the turn or waits for it, guarded by Groups.mu
}

// turnTimeout bounds how long a change waits for those before it.
const turnTimeout = 10 * time.Second

// turn waits until nobody else in this process changes the group; call done then.
func (g *Groups) turn(ctx context.Context, id schemas.GroupID) (done func(), err error) {
	g.mu.Lock()
	t := g.turns[id]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		g.turns[id] = t
	}
	t.asking++
	g.mu.Unlock()
	left := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if t.asking--; t.asking == 0 {
			delete(g.turns, id)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken; left() }, nil
	case <-ctx.Done():
		left()
		return nil, fmt.Errorf("failed to change group %s: %w", id, ctx.Err())
	}
}

// apply is the state after an edit. Who joins has it in MEMBERSHIPS before.
func (g *Groups) apply(ctx context.Context, old schemas.Group, by schemas.UserID, change func(*Edit) error) (schemas.Group, error) {
	g.c.clock.Observe(old.Changed)
	before := make(map[schemas.UserID]schemas.Member, len(old.Members))
	for _, m := range old.Members {
		before[m.UserID] = m
	}
	edit := Edit{Group: &old, At: schemas.Now(), by: by, clock: g.c.clock}
	if err := change(&edit); err != nil {
		return old, err
	}
	if len(edit.updates) == 0 {
		return old, jsapi.ErrUnchanged
	}
	var joined, gone []schemas.Member
	for _, m := range old.Members {
		if _, ok := before[m.UserID]; !ok {
			joined = append(joined, m)
		}
		delete(before, m.UserID)
	}
	for _, m := range before {
		gone = append(gone, m)
	}
	if edit.pending(gone); len(joined) > 0 && !old.Fits() {
		return old, ErrGroupFull
	}
	return old, g.begin(ctx, &old, joined)
}

// begin writes that members are about to join.
func (g *Groups) begin(ctx context.Context, group *schemas.Group, joined []schemas.Member) error {
	return jsapi.Parallel(ctx, len(joined), func(ctx context.Context, i int) error {
		m := joined[i]
		_, err := jsapi.Update(ctx, g.spans, subject.MembershipKey(m.UserID, group.GroupID), func(old schemas.Membership, _ bool) (schemas.Membership, error) {
			return old.Open(m.Since), nil
		})
		return err
	})
}

// finishTimeout bounds finish.
const finishTimeout = 15 * time.Second

// finish does what is left of a pending change. In a process it is done once for
// all who wait, under none of their contexts.
func (g *Groups) finish(ctx context.Context, group *schemas.Group) error {
	_, err, _ := g.finishing.Do(string(group.Changed), func() (any, error) {
		ctx, cancel := context.WithTimeout(g.c.ctx, finishTimeout)
		defer cancel()
		return nil, g.finishOnce(ctx, group)
	})
	if err != nil {
		return fmt.Errorf("failed to finish the last change of group %s: %w", group.GroupID, err)
	}
	return ctx.Err()
}

func (g *Groups) finishOnce(ctx context.Context, group *schemas.Group) error {
	updates, gone := group.Pending.Updates, group.Pending.Gone
	users := make([]schemas.UserID, 0, len(group.Members)+len(gone))
	for _, m := range gone {
		users = append(users, m.UserID)
		person, err := g.c.directory.User(ctx, m.UserID)
		if err != nil {
			return err
		}
		if !person.Had(updates[0].MessageID) {
			continue // the next owner of the name would find it
		}
		over := schemas.Span{From: m.Since, To: updates[0].MessageID}
		_, err = jsapi.Update(ctx, g.spans, subject.MembershipKey(m.UserID, group.GroupID), func(old schemas.Membership, _ bool) (schemas.Membership, error) {
			return old.Close(over), nil
		})
		if err != nil {
			return err
		}
	}
	for _, m := range group.Members {
		users = append(users, m.UserID)
	}
	for i := range updates {
		if err := g.tell(ctx, users, &updates[i]); err != nil {
			return err
		}
	}
	_, err := jsapi.Update(ctx, g.kv, string(group.GroupID), func(v schemas.Group, exists bool) (schemas.Group, error) {
		if !exists || v.Pending == nil || v.Changed != group.Changed {
			return v, jsapi.ErrUnchanged // somebody else was as far
		}
		v.Pending = nil
		return v, nil
	})
	g.Heard(group.GroupID, group.Changed)
	if err == nil && len(group.Members) == 0 {
		if err := g.c.Channels().Forget(ctx, group.GroupID); err != nil {
			return err
		}
		// Nobody changes a group without members, so this needs no comparison.
		err = g.kv.Delete(ctx, string(group.GroupID))
	}
	return err
}
