package group

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// memberships is bucket MEMBERSHIPS: when which user was a member of which group.
type memberships struct {
	api   *jsapi.Client
	spans jetstream.KeyValue
}

// Membership returns the times at which a user was a member of a group.
func (g *Groups) Membership(ctx context.Context, u schemas.UserID, id schemas.GroupID) (schemas.Membership, error) {
	m, _, _, err := jsapi.Get[schemas.Membership](ctx, g.memberships.spans, subject.MembershipKey(u, id))
	return m, err
}

// Memberships returns the memberships of all users who are, were or were about to become
// members of a group. In a cluster the answer may be a moment old.
func (g *Groups) Memberships(ctx context.Context, id schemas.GroupID) (map[schemas.UserID]schemas.Membership, error) {
	return g.memberships.ofGroup(ctx, id)
}

// listTimeout bounds how long a list of memberships may take.
const listTimeout = 30 * time.Second

// ofGroup reads the memberships of a group.
func (m memberships) ofGroup(ctx context.Context, id schemas.GroupID) (map[schemas.UserID]schemas.Membership, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel() // ends the watch
	w, err := m.spans.Watch(ctx, "*."+string(id), jetstream.IgnoreDeletes())
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
			if e == nil { // all stored ones came
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

// each calls do with the groups that a user is or was a member of, and the sequence in
// MEMBERSHIPS, until do returns false. In a cluster the list may be a moment old.
func (m memberships) each(ctx context.Context, u schemas.UserID, do func(uint64, schemas.GroupID, schemas.Membership) bool) error {
	const page = 500
	filter := subject.Memberships.Subject(u.Token() + ".*")
	for m, err := range m.api.Messages(ctx, subject.Memberships.Stream(), filter, 0, page) {
		if err != nil {
			return fmt.Errorf("failed to read the memberships of a user: %w", err)
		}
		id, err := schemas.ParseGroupID(m.Subject[len(filter)-len("*"):])
		if err != nil {
			continue
		}
		if spans, err := schemas.Decode[schemas.Membership](m.Data); err == nil && !do(m.Sequence, id, spans) {
			return nil
		}
	}
	return nil
}

// open returns at most n groups that a user is a member of, or is about to become, by the
// records of MEMBERSHIPS up to a sequence.
func (m memberships) open(ctx context.Context, u schemas.UserID, upTo uint64, n int) (ids []schemas.GroupID, err error) {
	err = m.each(ctx, u, func(seq uint64, id schemas.GroupID, m schemas.Membership) bool {
		if seq <= upTo && m.IsOpen() {
			ids = append(ids, id)
		}
		return len(ids) < n
	})
	return ids, err
}

// begin records that users are about to join a group.
func (m memberships) begin(ctx context.Context, id schemas.GroupID, joined []schemas.Member) error {
	return jsapi.Parallel(ctx, len(joined), func(ctx context.Context, i int) error {
		_, err := jsapi.Update(ctx, m.spans, subject.MembershipKey(joined[i].UserID, id), func(old schemas.Membership, _ bool) (schemas.Membership, error) {
			return old.Open(joined[i].Since), nil
		})
		return err
	})
}

// end records that a user was a member until a change.
func (m memberships) end(ctx context.Context, id schemas.GroupID, member schemas.Member, change schemas.MessageID) error {
	over := schemas.Span{From: member.Since, To: change}
	_, err := jsapi.Update(ctx, m.spans, subject.MembershipKey(member.UserID, id), func(old schemas.Membership, _ bool) (schemas.Membership, error) {
		return old.Close(over), nil
	})
	return err
}
