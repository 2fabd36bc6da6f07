package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"roost/gateway/api"
	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/subject"
)

// largeSend is how many copies a send has that asks for room before it is
// committed: many of them together would fill what a stream lets wait.
const largeSend = 64

// roomTimeout bounds how long a large send waits for room, and with it the client,
// whose socket is not read meanwhile.
const roomTimeout = 10 * time.Second

// groupTargets are the devices that a message to a group is for: those of all
// members as the group is now, read afresh, but the one that sends.
func (s *session) groupTargets(ctx context.Context, id schemas.GroupID) (targets, error) {
	group, err := s.server.streams.Groups().Group(ctx, id)
	if errors.Is(err, streams.ErrNoGroup) {
		return targets{}, api.NotAMember() // and not more: ids cannot be tried out
	}
	if err != nil {
		return targets{}, schemas.Unavailable(err)
	}
	if _, ok := group.Member(s.addr.User); !ok {
		return targets{}, api.NotAMember()
	}
	if s.server.isChannel(group) {
		return s.channelTargets(ctx, group)
	}
	users := make([]schemas.UserID, len(group.Members))
	for i, m := range group.Members {
		users[i] = m.UserID
	}
	people, err := s.server.directory.Users(ctx, users)
	if err != nil {
		return targets{}, schemas.Unavailable(err)
	}
	t := targets{to: make([]subject.Address, 0, 2*len(users)), group: group, keep: group.KeepsHistory(), days: group.DisappearingDays}
	for i, u := range users {
		p := people[i]
		if u == s.addr.User && p.RevokedSince(s.conn.registeredDevice()) {
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

// reserve waits for room where the send is large. What was read before the wait is
// read again after it.
func (s *session) reserve(p *pendingSend, t targets) (targets, error) {
	if len(t.to) < largeSend {
		return t, nil
	}
	var ok bool
	if p.release, ok = s.server.streams.TryReserve(len(t.to)); ok {
		return t, nil
	}
	ctx, cancel := context.WithTimeout(s.conn.ctx, roomTimeout)
	defer cancel()
	release, err := s.server.streams.Reserve(ctx, len(t.to))
	if err != nil {
		return t, schemas.Unavailable(err)
	}
	p.release = release
	return s.targets(ctx, p.message)
}

// sentBy leaves out who joined the group, and which device was registered, after the
// sender's message of that id: a retry comes later. A receiver's oldest device stays,
// for the message may wait for their first one.
func (t targets) sentBy(sender schemas.UserID, id schemas.MessageID) targets {
	var before schemas.UserID
	t.to = slices.DeleteFunc(t.to, func(a subject.Address) bool {
		oldest := a.User != before && a.User != sender
		before = a.User
		return schemas.MessageID(a.Device) > id && !oldest
	})
	if t.group == nil {
		return t
	}
	late := make(map[schemas.UserID]bool)
	for _, m := range t.group.Members {
		if m.Since > id {
			late[m.UserID] = true
		}
	}
	if len(late) > 0 {
		t.to = slices.DeleteFunc(t.to, func(a subject.Address) bool { return late[a.User] })
		t.unclaimed = slices.DeleteFunc(t.unclaimed, func(u schemas.UserID) bool { return late[u] })
	}
	return t
}
