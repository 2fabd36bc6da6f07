package streams

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/singleflight"

	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// Groups are the group chats: one record a group in bucket GROUPS, changed with
// compare-and-set, and in MEMBERSHIPS when each person was a member of what.
//
// A record is read from the leader of its bucket each time, so what is read after
// a change was answered has it. It holds its last change as long as that is
// pending: whoever reads it first commits the updates to the inboxes of all
// members (group_change.go), so in every inbox they stand before the messages of
// those who saw the new state, and a crash in between loses none.
type Groups struct {
	c         *Conn
	kv, spans jetstream.KeyValue // GROUPS and MEMBERSHIPS
	finishing singleflight.Group // of pending changes, by their id

	mu      sync.Mutex // guards the rest
	turns   map[schemas.GroupID]*turn
	known   map[schemas.GroupID]knownGroup
	members int // of all known groups
}

// knownGroup is a record that was read, decoded. It is shared: nobody changes it.
type knownGroup struct {
	group    *schemas.Group
	revision uint64
	at       time.Time // of the last read that found it so
}

// maxKnownMembers bounds the members of all groups that are kept decoded, about
// 100 bytes each; beyond, any others go.
const maxKnownMembers = 1 << 20

// ErrNoGroup: there is no such group.
var ErrNoGroup = errors.New("there is no such group")

// ErrGroupFull: the record of the group has no room for more members.
var ErrGroupFull = errors.New("the record of the group is full")

func openGroups(ctx context.Context, c *Conn) (*Groups, error) {
	g := &Groups{c: c, turns: make(map[schemas.GroupID]*turn), known: make(map[schemas.GroupID]knownGroup)}
	for name, kv := range map[subject.Bucket]*jetstream.KeyValue{subject.Groups: &g.kv, subject.Memberships: &g.spans} {
		var err error
		if *kv, err = c.api.Bucket(ctx, name); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Group reads a group, once the updates of its last change are in the inboxes of
// its members, or fails with [ErrNoGroup]. It is shared: do not change it.
func (g *Groups) Group(ctx context.Context, id schemas.GroupID) (*schemas.Group, error) {
	group, err := g.Peek(ctx, id)
	if err != nil || group.Pending == nil {
		return group, err
	}
	if err := g.finish(ctx, group); err != nil {
		return nil, err
	}
	if len(group.Members) == 0 {
		return nil, ErrNoGroup
	}
	settled := *group
	settled.Pending = nil
	return &settled, nil
}

// Peek reads a group as it is, its last change perhaps pending, in which case it
// may have no members any more; or fails with [ErrNoGroup]. It is shared: do not
// change it.
func (g *Groups) Peek(ctx context.Context, id schemas.GroupID) (group *schemas.Group, err error) {
	err = g.c.api.Do(ctx, func(ctx context.Context) error {
		at := time.Now()
		e, err := g.kv.Get(ctx, string(id))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			g.forget(id)
			return ErrNoGroup
		}
		if err != nil {
			return fmt.Errorf("failed to read group %s: %w", id, err)
		}
		group, err = g.decode(id, e, at)
		return err
	})
	if err == nil && len(group.Members) == 0 && group.Pending == nil {
		return nil, ErrNoGroup // a deletion that was cut short
	}
	return group, err
}

// Recent is a group as this process read it within age, or else now. It is for what
// may be shown by a state of a moment ago, and costs no request in most cases.
func (g *Groups) Recent(ctx context.Context, id schemas.GroupID, age time.Duration) (*schemas.Group, error) {
	g.mu.Lock()
	k, ok := g.known[id]
	g.mu.Unlock()
	if ok && time.Since(k.at) < age {
		return k.group, nil
	}
	return g.Peek(ctx, id)
}

// AsOf is Recent, and no older than a change of that id, which may be empty.
func (g *Groups) AsOf(ctx context.Context, id schemas.GroupID, changed schemas.MessageID, age time.Duration) (*schemas.Group, error) {
	group, err := g.Recent(ctx, id, age)
	if err == nil && group.Changed < changed {
		return g.Peek(ctx, id)
	}
	return group, err
}

func (g *Groups) decode(id schemas.GroupID, e jetstream.KeyValueEntry, at time.Time) (*schemas.Group, error) {
	g.mu.Lock()
	k, ok := g.known[id]
	if ok && k.revision == e.Revision() {
		k.at = at
		g.known[id] = k
		g.mu.Unlock()
		return k.group, nil
	}
	g.mu.Unlock()
	v, err := schemas.Decode[schemas.Group](e.Value())
	if err != nil {
		return nil, fmt.Errorf("failed to read group %s: %w", id, err)
	}
	// So that messages to the new state have larger ids than the change.
	g.c.clock.Observe(v.Changed)
	g.remember(id, knownGroup{&v, e.Revision(), at})
	return &v, nil
}

func (g *Groups) remember(id schemas.GroupID, k knownGroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if old, ok := g.known[id]; ok {
		if old.revision > k.revision {
			return
		}
		g.drop(id, old)
	}
	for other, old := range g.known { // any: map order is random
		if g.members+len(k.group.Members) <= maxKnownMembers {
			break
		}
		g.drop(other, old)
	}
	g.known[id] = k
	g.members += len(k.group.Members)
}

// forget drops a group that is no more.
func (g *Groups) forget(id schemas.GroupID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k, ok := g.known[id]; ok {
		g.drop(id, k)
	}
}

// Heard says that a group was changed: an older state of it is not recent any more.
func (g *Groups) Heard(id schemas.GroupID, changed schemas.MessageID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k, ok := g.known[id]; ok && k.group.Changed < changed {
		g.drop(id, k)
	}
}

func (g *Groups) drop(id schemas.GroupID, k knownGroup) {
	delete(g.known, id)
	g.members -= len(k.group.Members)
}

// Membership is when a person was a member of a group.
func (g *Groups) Membership(ctx context.Context, u schemas.UserID, id schemas.GroupID) (schemas.Membership, error) {
	m, _, _, err := jsapi.Get[schemas.Membership](ctx, g.spans, subject.MembershipKey(u, id))
	return m, err
}

// listTimeout bounds how long a list of memberships may take.
const listTimeout = 30 * time.Second

// Memberships are those of everybody who is, was or was about to become a member of a
// group. In a cluster they may be a moment behind.
func (g *Groups) Memberships(ctx context.Context, id schemas.GroupID) (map[schemas.UserID]schemas.Membership, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel() // ends the watch
	w, err := g.spans.Watch(ctx, "*."+string(id), jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("failed to read the memberships of group %s: %w", id, err)
	}
	all := make(map[schemas.UserID]schemas.Membership)
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return nil, fmt.Errorf("failed to read the memberships of group %s: the connection was closed", id)
			}
			if e == nil { // that is all
				return all, nil
			}
			u, err := schemas.ParseUserToken(strings.TrimSuffix(e.Key(), "."+string(id)))
			if err != nil {
				continue
			}
			if all[u], err = schemas.Decode[schemas.Membership](e.Value()); err != nil {
				return nil, fmt.Errorf("failed to read a membership of group %s: %w", id, err)
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("failed to read the memberships of group %s: %w", id, ctx.Err())
		}
	}
}

// memberships calls each with the groups that a person is or was a member of,
// with the sequence in MEMBERSHIPS, until it says no. In a cluster it may be a moment behind.
func (g *Groups) memberships(ctx context.Context, u schemas.UserID, each func(uint64, schemas.GroupID, schemas.Membership) bool) error {
	const page = 500
	filter := subject.Memberships.Subject(u.Token() + ".*")
	for m, err := range g.c.api.Messages(ctx, subject.Memberships.Stream(), filter, 0, page) {
		if err != nil {
			return fmt.Errorf("failed to read the memberships of a user: %w", err)
		}
		id, err := schemas.ParseGroupID(m.Subject[len(filter)-len("*"):])
		if err != nil {
			continue
		}
		if spans, err := schemas.Decode[schemas.Membership](m.Data); err == nil && !each(m.Sequence, id, spans) {
			return nil
		}
	}
	return nil
}

// open are at most n groups that a person is a member of, or is about to be, by what
// MEMBERSHIPS had up to a sequence.
func (g *Groups) open(ctx context.Context, u schemas.UserID, upTo uint64, n int) (ids []schemas.GroupID, err error) {
	err = g.memberships(ctx, u, func(seq uint64, id schemas.GroupID, m schemas.Membership) bool {
		if seq <= upTo && m.IsOpen() {
			ids = append(ids, id)
		}
		return len(ids) < n
	})
	return ids, err
}

// Seen are the groups of which a person was a member at some time.
func (g *Groups) Seen(ctx context.Context, u schemas.UserID) (ids []schemas.GroupID, err error) {
	var now []schemas.GroupID // they are, or were about to become one: the group says which
	err = g.memberships(ctx, u, func(_ uint64, id schemas.GroupID, m schemas.Membership) bool {
		if len(m.Seen(u, nil)) > 0 {
			ids = append(ids, id)
		} else {
			now = append(now, id)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	groups, err := g.joined(ctx, u, now)
	for _, group := range groups {
		ids = append(ids, group.GroupID)
	}
	return ids, err
}

// Of lists the groups of a person. In a cluster it may be a moment behind.
func (g *Groups) Of(ctx context.Context, u schemas.UserID) ([]*schemas.Group, error) {
	ids, err := g.open(ctx, u, math.MaxUint64, math.MaxInt)
	if err != nil {
		return nil, err
	}
	return g.joined(ctx, u, ids)
}

// maxLookedAt bounds the groups of a person among which some are looked for.
const maxLookedAt = 256

// some are at most n of a person's groups that are of the kind asked for, by what this
// process read of late.
func (g *Groups) some(ctx context.Context, u schemas.UserID, n int, kind func(*schemas.Group) bool) (groups []*schemas.Group, err error) {
	ids, err := g.open(ctx, u, math.MaxUint64, maxLookedAt)
	if err != nil {
		return nil, err
	}
	found := make([]*schemas.Group, len(ids))
	err = jsapi.Parallel(ctx, len(ids), func(ctx context.Context, i int) error {
		group, err := g.Recent(ctx, ids[i], directory.CacheTTL)
		if err == nil && kind(group) {
			if _, ok := group.Member(u); !ok { // they joined since
				group, err = g.Peek(ctx, ids[i])
			}
		}
		if errors.Is(err, ErrNoGroup) {
			return nil
		}
		found[i] = group
		return err
	})
	for _, group := range found {
		if group == nil || !kind(group) || len(groups) == n {
			continue
		}
		if _, ok := group.Member(u); ok {
			groups = append(groups, group)
		}
	}
	return groups, err
}

// joined are those of some groups of which a person is a member.
func (g *Groups) joined(ctx context.Context, u schemas.UserID, ids []schemas.GroupID) ([]*schemas.Group, error) {
	found := make([]*schemas.Group, len(ids))
	err := jsapi.Parallel(ctx, len(ids), func(ctx context.Context, i int) error {
		group, err := g.Peek(ctx, ids[i])
		if errors.Is(err, ErrNoGroup) {
			return nil
		}
		found[i] = group
		return err
	})
	groups := make([]*schemas.Group, 0, len(found))
	for _, group := range found {
		if group == nil {
			continue
		}
		if _, ok := group.Member(u); ok { // else they were about to become one
			groups = append(groups, group)
		}
	}
	return groups, err
}
