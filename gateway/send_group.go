package gateway

import (
	"context"
	"errors"
	"slices"

	"roost/gateway/api"
	"roost/schemas"
	"roost/streams/directory"
	"roost/streams/group"
	"roost/streams/subject"
)

// groupTargets returns the devices that a message to a group is for: those of all members as
// they are now, read from the stream, except the device that sends.
func (s *sender) groupTargets(ctx context.Context, id schemas.GroupID) (targets, error) {
	g, err := s.server.streams.Groups().Group(ctx, id)
	if errors.Is(err, group.ErrNotFound) {
		return targets{}, api.NotAMember() // no more than that: ids of groups cannot be found out by trying
	}
	if err != nil {
		return targets{}, schemas.Unavailable(err)
	}
	if _, ok := g.Member(s.addr.User); !ok {
		return targets{}, api.NotAMember()
	}
	if s.server.isChannel(g) {
		return s.channelTargets(ctx, g)
	}
	users := make([]schemas.UserID, len(g.Members))
	for i, m := range g.Members {
		users[i] = m.UserID
	}
	people, err := s.server.directory.Users(ctx, users)
	if err != nil {
		return targets{}, schemas.Unavailable(err)
	}
	t := targets{to: make([]subject.Address, 0, 2*len(users)), group: g, keep: g.KeepsHistory(), days: g.DisappearingDays}
	for i, u := range users {
		p := people[i]
		if u == s.addr.User && p.RevokedSince(s.device()) {
			s.conn.closeRemoved()
			return targets{}, errRemoved()
		}
		t.keep = t.keep || p.Settings.KeepsHistory()
		if len(p.Devices) == 0 {
			t.unclaimed = append(t.unclaimed, u)
		}
		t.to = directory.AppendInboxes(t.to, u, p)
	}
	t.to = slices.DeleteFunc(t.to, func(a subject.Address) bool { return a == s.addr })
	return t, nil
}
