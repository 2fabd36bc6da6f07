package gateway

import (
	"context"
	"errors"
	"time"

	"roost/gateway/api"
	"roost/schemas"
	"roost/streams/group"
)

// groupAge is how old the members of a group may be for receipts and typing.
const groupAge = time.Minute

// groupUpdate is the beginning of an entry that reports a change of a group.
var groupUpdate = []byte(`{"type":"` + schemas.TypeGroupUpdate + `"`)

// noteGroupUpdate evicts the cached state of a group from before a change that a member is shown.
func (s *Server) noteGroupUpdate(entry []byte) {
	if f, err := schemas.DecodeServerFrame(entry); err == nil {
		if u, ok := f.(*schemas.GroupUpdate); ok {
			s.streams.Groups().Heard(u.GroupID, u.MessageID)
		}
	}
}

// memberGroup returns a group that the user is a member of, from a recent read. A user who was
// removed may pass for groupAge; a user who was added passes at once.
func (s *session) memberGroup(ctx context.Context, id schemas.GroupID) (*schemas.Group, *schemas.Error) {
	for _, age := range []time.Duration{groupAge, time.Second} { // at most one read a second for users who are not members
		g, err := s.server.streams.Groups().Recent(ctx, id, age)
		if err != nil {
			if errors.Is(err, group.ErrNotFound) {
				return nil, api.NotAMember()
			}
			return nil, cannotTell(err)
		}
		if _, ok := g.Member(s.addr.User); ok {
			return g, nil
		}
	}
	return nil, api.NotAMember()
}

// groupReceiptFor publishes a live receipt to the sender of a message to a small group, once for
// each user.
func (s *session) groupReceiptFor(h schemas.EntryHead, several bool, now time.Time) {
	group, err := s.server.streams.Groups().Recent(s.conn.ctx, h.GroupID, groupAge)
	if err != nil || !group.ShowsReceipts() {
		return // the watermark makes it good
	}
	if _, ok := group.Member(h.SenderID); !ok && group.Changed > h.MessageID {
		return // the sender left since
	}
	if several && !s.server.receipts.first(s.addr.User, h.MessageID) {
		return
	}
	frame := schemas.EncodeFrame(&schemas.Delivered{MessageID: h.MessageID, UserID: s.addr.User, GroupID: h.GroupID, Timestamp: schemas.TimestampOf(now)})
	s.server.streams.Bus().PublishDelivered(s.addr.User, frame)
	if sender, err := s.server.directory.User(s.conn.ctx, h.SenderID); err == nil && !sender.PredatesAccount(h.MessageID) {
		s.show(h.SenderID, sender, frame)
	}
}

// groupRead is message_read in a group. The watermark needs no sender. The live frame goes to the
// sender that the frame names, or whose message is in flight.
func (s *session) groupRead(ctx context.Context, f *schemas.Read) *schemas.Error {
	if s.server.streams.Clock().InFuture(f.MessageID) {
		return schemas.InvalidField("message_id", "is in the future; no message has this id yet.")
	}
	group, e := s.memberGroup(ctx, f.GroupID)
	if e != nil {
		return e
	}
	me, err := s.server.directory.User(ctx, s.addr.User)
	if err != nil {
		return cannotTell(err)
	}
	frame := schemas.EncodeFrame(&schemas.ReadBy{MessageID: f.MessageID, UserID: s.addr.User, GroupID: f.GroupID, Timestamp: schemas.Now()})
	shows := me.Settings.ReadReceipts && !s.server.isChannel(group)
	news, err := s.server.reads.add(ctx, schemas.Participant{Group: f.GroupID}, s.addr.User, readMark{f.MessageID, shows})
	if err != nil {
		return cannotTell(err)
	}
	if !news {
		return nil // published a moment ago
	}
	if shows {
		if s.server.showsReceipts(group) {
			s.server.streams.Bus().PublishRead(s.addr.User, frame)
			sender := f.SenderID
			if head, ok := s.inbox.Find(f.MessageID); ok && sender == "" && head.GroupID == f.GroupID {
				sender = head.SenderID
			}
			if _, ok := group.Member(sender); ok && sender != s.addr.User {
				from, err := s.server.directory.User(ctx, sender)
				if err != nil {
					return cannotTell(err)
				}
				if from.Settings.ReadReceipts && !from.PredatesAccount(f.MessageID) {
					s.show(sender, from, frame)
				}
			}
		}
	}
	s.show(s.addr.User, me, frame)
	return nil
}

// groupTyping publishes typing to the other members of a small group.
func (s *session) groupTyping(ctx context.Context, id schemas.GroupID) *schemas.Error {
	group, e := s.memberGroup(ctx, id)
	if e != nil {
		return e
	}
	if !s.server.showsReceipts(group) {
		s.server.metrics.typingDropped.WithLabelValues("large_group").Inc()
		return nil
	}
	users := make([]schemas.UserID, 0, len(group.Members))
	for _, m := range group.Members {
		if m.UserID != s.addr.User {
			users = append(users, m.UserID)
		}
	}
	people, err := s.server.directory.Users(ctx, users)
	if err != nil {
		return cannotTell(err)
	}
	frame := schemas.EncodeFrame(&schemas.Typing{UserID: s.addr.User, GroupID: id})
	for i, p := range people {
		s.show(users[i], p, frame)
	}
	return nil
}
