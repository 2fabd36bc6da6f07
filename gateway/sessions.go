package gateway

import (
	"roost/gateway/wakeups"
	"roost/schemas"
)

// devicesOf returns the connected devices of users, from shortly before their welcome on.
func (s *Server) devicesOf(users ...schemas.UserID) (all []wakeups.Device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range users {
		for _, c := range s.byUser[u] {
			if c.session != nil {
				all = append(all, c.session)
			}
		}
	}
	return all
}

// join lets devicesOf return a session.
func (s *Server) join(session *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session.conn.session = session
}
