package gateway

import (
	"context"
	"time"

	"roost/schemas"
)

const (
	// typingEvery is how often a session may send typing in one chat. Clients show it for 5 s,
	// so this is often enough.
	typingEvery = 3 * time.Second
	// maxTyping bounds the chats of a session with typing within that time.
	maxTyping = 16
)

// typing remembers when a session published the last notice in each chat. The reader owns it.
type typing struct {
	last map[schemas.Participant]time.Time // at most maxTyping
}

// may reports whether a notice may be published now, and counts it.
func (t *typing) may(to schemas.Participant, now time.Time) bool {
	if now.Sub(t.last[to]) < typingEvery {
		return false
	}
	if len(t.last) >= maxTyping {
		for other, at := range t.last {
			if now.Sub(at) >= typingEvery {
				delete(t.last, other)
			}
		}
		if len(t.last) >= maxTyping {
			return false
		}
	}
	if t.last == nil {
		t.last = make(map[schemas.Participant]time.Time, 1)
	}
	t.last[to] = now
	return true
}

// over reports that all of it is stale, so that the memory can be freed.
func (t *typing) over(now time.Time) bool {
	for _, at := range t.last {
		if now.Sub(at) < typingEvery {
			return false
		}
	}
	return true
}

// typingNotice is the verb typing: the receiver's connected devices get it, and nothing is stored. A
// notice is dropped if it comes too often, or if one of the two users blocks the other.
func (s *session) typingNotice(f *schemas.TypingNotice) {
	if s.typing == nil {
		s.typing = new(typing)
	}
	if !s.typing.may(schemas.Participant{User: f.ReceiverID, Group: f.GroupID}, time.Now()) {
		s.server.metrics.typingDropped.WithLabelValues("too_often").Inc()
		return
	}
	ctx, cancel := context.WithTimeout(s.conn.ctx, lookupTimeout)
	defer cancel()
	if f.GroupID != "" {
		if e := s.groupTyping(ctx, f.GroupID); e != nil {
			s.conn.sendError(e, 0)
		}
		return
	}
	to, err := s.server.directory.User(ctx, f.ReceiverID)
	if err != nil {
		s.conn.sendError(cannotTell(err), 0)
		return
	}
	if !to.Exists {
		s.conn.sendError(schemas.Errorf(schemas.CodeUnknownReceiver, "receiver_id: there is no such user."), 0)
		return
	}
	me, err := s.server.directory.User(ctx, s.addr.User)
	if err != nil {
		s.conn.sendError(cannotTell(err), 0)
		return
	}
	if to.Blocks(s.addr.User) || me.Blocks(f.ReceiverID) {
		s.server.metrics.typingDropped.WithLabelValues("blocked").Inc()
		return
	}
	s.show(f.ReceiverID, to, schemas.EncodeFrame(&schemas.Typing{UserID: s.addr.User}))
}
