package group

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/singleflight"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/jsapi"
	"roost/streams/msgid"
	"roost/streams/subject"
)

var (
	// ErrNotFound means that the group does not exist.
	ErrNotFound = errors.New("the group does not exist")
	// ErrFull means that the record of the group has no room for more members.
	ErrFull = errors.New("the record of the group is full")
)

// Inboxes stores updates of groups.
type Inboxes interface {
	// CommitUpdate stores the update of that id in the inboxes of all devices of users, and
	// delivers it to connected devices. It may be repeated.
	CommitUpdate(ctx context.Context, users []schemas.UserID, id schemas.MessageID, entry []byte) error
}

// Events reports changes to other services.
type Events interface {
	PublishGroupChange(id schemas.GroupID, update []byte)
}

// Users looks users up.
type Users interface {
	User(ctx context.Context, u schemas.UserID) (*directory.User, error)
}

// Channels keeps the messages of groups that are channels.
type Channels interface {
	// Delete deletes all messages of a channel. It may be repeated.
	Delete(ctx context.Context, id schemas.GroupID) error
}

// Options of Groups. All fields are required.
type Options struct {
	API      *jsapi.Client
	Clock    *msgid.Clock // makes the ids of changes
	Users    Users
	Inboxes  Inboxes
	Events   Events
	Channels Channels
}

// Groups reads and changes groups. Methods may be called concurrently.
type Groups struct {
	api         *jsapi.Client
	clock       *msgid.Clock
	users       Users
	inboxes     Inboxes
	events      Events
	channels    Channels
	ctx         context.Context    // ends changes that are being finished
	kv          jetstream.KeyValue // GROUPS
	memberships memberships
	cache       cache
	turns       turns
	finishing   singleflight.Group // of pending changes, by their id
}

// Open opens the buckets. A change that is being finished ends with running, and not with the
// context of its caller.
func Open(ctx, running context.Context, o Options) (*Groups, error) {
	kv, err := o.API.Bucket(ctx, subject.Groups)
	if err != nil {
		return nil, err
	}
	spans, err := o.API.Bucket(ctx, subject.Memberships)
	if err != nil {
		return nil, err
	}
	return &Groups{api: o.API, clock: o.Clock, users: o.Users, inboxes: o.Inboxes, events: o.Events, channels: o.Channels,
		ctx: running, kv: kv, memberships: memberships{o.API, spans},
		cache: cache{known: make(map[schemas.GroupID]known)}, turns: turns{of: make(map[schemas.GroupID]*turn)}}, nil
}

// Group reads a group after the updates of its last change are in the inboxes of its members.
// It fails with [ErrNotFound] if there is no such group. The result is shared: do not change
// it.
func (g *Groups) Group(ctx context.Context, id schemas.GroupID) (*schemas.Group, error) {
	group, err := g.Peek(ctx, id)
	if err != nil || group.Pending == nil {
		return group, err
	}
	if err := g.finish(ctx, group); err != nil {
		return nil, err
	}
	if len(group.Members) == 0 {
		return nil, ErrNotFound
	}
	finished := *group
	finished.Pending = nil
	return &finished, nil
}

// Peek reads a group whose last change may be pending; such a group may have no members any
// more. It fails with [ErrNotFound] if there is no such group. The result is shared: do not
// change it.
func (g *Groups) Peek(ctx context.Context, id schemas.GroupID) (group *schemas.Group, err error) {
	err = g.api.Do(ctx, func(ctx context.Context) error {
		at := time.Now()
		e, err := g.kv.Get(ctx, string(id))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			g.cache.evict(id)
			return ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("failed to read group %s: %w", id, err)
		}
		group, err = g.decode(id, e, at)
		return err
	})
	if err == nil && len(group.Members) == 0 && group.Pending == nil {
		return nil, ErrNotFound // a deletion that was interrupted
	}
	return group, err
}

func (g *Groups) decode(id schemas.GroupID, e jetstream.KeyValueEntry, at time.Time) (*schemas.Group, error) {
	if group := g.cache.confirm(id, e.Revision(), at); group != nil {
		return group, nil
	}
	v, err := schemas.Decode[schemas.Group](e.Value())
	if err != nil {
		return nil, fmt.Errorf("failed to read group %s: %w", id, err)
	}
	// So that messages to the new state have larger ids than the change.
	g.clock.Observe(v.Changed)
	g.cache.add(id, known{&v, e.Revision(), at})
	return &v, nil
}

// Recent returns a group as this process read it within age, and otherwise reads it. It
// serves callers for whom an earlier state is good enough, mostly without a request.
func (g *Groups) Recent(ctx context.Context, id schemas.GroupID, age time.Duration) (*schemas.Group, error) {
	if k, ok := g.cache.get(id); ok && time.Since(k.at) < age {
		return k.group, nil
	}
	return g.Peek(ctx, id)
}

// AsOf is Recent, and returns no state older than the change of that id, which may be empty.
func (g *Groups) AsOf(ctx context.Context, id schemas.GroupID, changed schemas.MessageID, age time.Duration) (*schemas.Group, error) {
	group, err := g.Recent(ctx, id, age)
	if err == nil && group.Changed < changed {
		return g.Peek(ctx, id)
	}
	return group, err
}

// Heard reports a change of a group: Recent does not return an older state any more.
func (g *Groups) Heard(id schemas.GroupID, changed schemas.MessageID) {
	g.cache.evictOlder(id, changed)
}

// Follow calls changed with every group, and then with every change, on the goroutine of the
// caller until ctx ends. Of a deleted group it passes nil and the time of the deletion.
func (g *Groups) Follow(ctx context.Context, changed func(id schemas.GroupID, g *schemas.Group, at time.Time)) error {
	return jsapi.Follow(ctx, g.kv, func(e jetstream.KeyValueEntry) {
		id, err := schemas.ParseGroupID(e.Key())
		if err != nil {
			return
		}
		if e.Operation() != jetstream.KeyValuePut {
			changed(id, nil, e.Created())
			return
		}
		if g, err := schemas.Decode[schemas.Group](e.Value()); err == nil {
			changed(id, &g, e.Created())
		}
	})
}
