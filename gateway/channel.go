package gateway

import (
	"context"
	"slices"

	"roost/schemas"
	"roost/streams/bus"
	"roost/streams/channel"
	"roost/streams/directory"
)

// isChannel reports whether the members of a group pull its messages, because it has too many
// members for a copy each.
func (s *Server) isChannel(g *schemas.Group) bool { return len(g.Members) > s.opts.GroupPushLimit }

// showsReceipts reports whether members of a group see receipts and typing.
func (s *Server) showsReceipts(g *schemas.Group) bool { return g.ShowsReceipts() && !s.isChannel(g) }

// channelTargets returns no devices, but whether history keeps the message.
func (s *sender) channelTargets(ctx context.Context, group *schemas.Group) (targets, error) {
	t := targets{group: group, channel: true, keep: group.KeepsHistory(), days: group.DisappearingDays}
	const atOnce = 256
	for some := range slices.Chunk(group.Members, atOnce) {
		if t.keep {
			break
		}
		users := make([]schemas.UserID, len(some))
		for i, m := range some {
			users[i] = m.UserID
		}
		people, err := s.server.directory.Users(ctx, users)
		if err != nil {
			return targets{}, schemas.Unavailable(err)
		}
		t.keep = slices.ContainsFunc(people, func(p *directory.User) bool { return p.Settings.KeepsHistory() })
	}
	return t, nil
}

// commitChannel commits a message whose send is on record to its channel, unless it is stored
// there. Then it answers, and wakes members.
func (s *sender) commitChannel(p *pendingSend, send channel.Send, t targets) {
	m := p.message
	send.Log, send.Keep = t.keeps(m) || s.server.opts.Events, t.keeps(m)
	s.server.streams.Channels().Commit(send, func(seq uint64, err error) {
		if err != nil {
			s.refuse(p, err)
			return
		}
		s.server.wakeups.Committed(bus.ChannelNews{Group: m.GroupID, MessageID: m.MessageID, Sequence: seq, Changed: t.group.Changed})
		s.acceptAfterErase(p, m)
	})
}
