package gateway

import (
	"context"
	"slices"
	"time"

	"roost/schemas"
	"roost/streams/bus"
	"roost/streams/channel"
	"roost/streams/directory"
)

// isChannel says whether the members of a group pull its messages, because there are
// too many for a copy each.
func (s *Server) isChannel(g *schemas.Group) bool { return len(g.Members) > s.opts.GroupPushLimit }

// showsReceipts says whether members of a group are shown receipts and typing.
func (s *Server) showsReceipts(g *schemas.Group) bool { return g.ShowsReceipts() && !s.isChannel(g) }

// channelTargets are no devices, but whether anybody keeps the message.
func (s *session) channelTargets(ctx context.Context, group *schemas.Group) (targets, error) {
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

// retryChannel commits a message that is on record to its channel, unless the channel
// has it.
func (s *session) retryChannel(ctx context.Context, p *pendingSend, rec schemas.SentRecord, t targets) {
	m := p.message
	if p.recorded(rec) {
		s.accept(p, m)
		return
	}
	send := channel.Send{Message: m}
	age := time.Since(m.Timestamp.Time())
	send.Late = !m.IsUpdate() && age > s.server.opts.ChannelSlack/2
	if age > s.server.streams.DuplicateWindow()/2 { // the stream may have forgotten the id
		var err error
		var deleted bool
		if send.Stored, err = s.server.streams.Channels().Holds(ctx, m); err == nil && send.Stored == 0 {
			deleted, err = s.deletedMeanwhile(ctx, m)
		}
		switch {
		case err != nil:
			s.refuse(p, err)
			return
		case deleted:
			s.accept(p, m)
			return
		}
	}
	s.commitChannel(p, send, t)
}

// deletedMeanwhile says whether a message that is not in its channel was deleted for
// everyone, or what an update changes was.
func (s *session) deletedMeanwhile(ctx context.Context, m *schemas.Message) (bool, error) {
	of := m.MessageID
	switch {
	case m.Change == schemas.ChangeDelete:
		return false, nil
	case m.IsUpdate():
		of = m.TargetMessageID
	}
	return s.server.streams.Channels().Deleted(ctx, m.GroupID, of)
}

// commitChannel commits a message whose send is on record to its channel, unless it is
// stored there, and then answers and wakes members.
func (s *session) commitChannel(p *pendingSend, send channel.Send, t targets) {
	m := p.message
	send.Log, send.Keep = t.keeps(m) || s.server.opts.Events, t.keeps(m)
	s.server.streams.Channels().Commit(send, func(seq uint64, err error) {
		if err != nil {
			s.refuse(p, err)
			return
		}
		s.server.wakeups.Committed(bus.ChannelNews{Group: m.GroupID, MessageID: m.MessageID, Sequence: seq, Changed: t.group.Changed})
		s.finish(p, m)
	})
}

// finish accepts what is durable everywhere; a deletion for everyone once the message
// has left its channel. The group may be one no more.
func (s *session) finish(p *pendingSend, m *schemas.Message) {
	if m.GroupID == "" || m.Change != schemas.ChangeDelete {
		s.accept(p, m)
		return
	}
	s.later(p, func(ctx context.Context) {
		some, err := s.server.streams.Channels().Any(ctx, 0)
		if err == nil && some {
			err = s.server.streams.Channels().Erase(ctx, m.GroupID, m.TargetMessageID)
		}
		if err != nil {
			s.refuse(p, err)
			return
		}
		s.accept(p, m)
	})
}
