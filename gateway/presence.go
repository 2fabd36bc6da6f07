package gateway

import (
	"slices"

	"golang.org/x/time/rate"

	"roost/gateway/presence"
	"roost/schemas"
)

const (
	// subscribesPerSecond is how often a session may change its list, after a burst of
	// maxSubscribes; the server reads more frames later. The longest list takes 5 frames, or
	// twice as many if each byte of an id needs an escape.
	subscribesPerSecond = 1
	maxSubscribes       = 10
	// presenceBurst is how many presence frames are queued at a time, when there is room.
	presenceBurst = 64
)

// presenceSubscribe is the verb presence_subscribe: it replaces the users that the session
// watches, or adds to them, and answers with one presence frame for each.
func (s *session) presenceSubscribe(f *schemas.PresenceSubscribe) {
	if s.subscribes == nil {
		s.subscribes = rate.NewLimiter(subscribesPerSecond, maxSubscribes)
	}
	if s.subscribes.Wait(s.conn.ctx) != nil {
		return // the connection is over
	}
	wanted, ids := make(map[schemas.UserID]bool, len(f.UserIDs)), make([]schemas.UserID, 0, len(f.UserIDs))
	for _, u := range f.UserIDs {
		if !wanted[u] {
			wanted[u] = true
			ids = append(ids, u)
		}
	}
	p := s.server.presence
	if f.Add {
		if n := p.Count(s, ids); n > schemas.MaxPresenceUsers {
			s.conn.sendError(schemas.InvalidField("user_ids", "would make a list of %d, at most %d are allowed; the list stays as it was.",
				n, schemas.MaxPresenceUsers), 0)
			return
		}
	}
	if err := p.Begin(s.conn.ctx, s, ids); err != nil {
		s.conn.sendError(cannotTell(err), 0)
		return
	}
	if !f.Add {
		p.Keep(s, wanted)
	}
	for some := range slices.Chunk(ids, presenceBurst) {
		if !s.conn.waitForRoom() {
			return
		}
		p.Show(s, some)
	}
}

var _ presence.Viewer = (*session)(nil)

// User implements [presence.Viewer].
func (s *session) User() schemas.UserID { return s.addr.User }

// ShowPresence implements [presence.Viewer].
func (s *session) ShowPresence(frame []byte) { s.conn.send(frame) }
