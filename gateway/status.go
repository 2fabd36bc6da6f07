package gateway

import (
	"fmt"
	"net/http"
	"time"

	"roost/schemas"
	"roost/streams"
)

// recently is for how long after the last activity a status names the minutes.
const recently = time.Hour

// hides says whether a person's presence is nothing for viewer to see.
func hides(person *streams.Person, viewer schemas.UserID) bool {
	return person.Settings.LastSeen == schemas.LastSeenNobody || person.Blocks(viewer)
}

// getStatus is GET /user/{user_id}/status. Who hides last-seen, or blocks the
// viewer, is shown as offline to everybody else: "online" now and again would tell it all the same.
func (s *Server) getStatus(r *http.Request, u schemas.UserID) (int, any, error) {
	of, err := userOfPath(r)
	if err != nil {
		return 0, nil, err
	}
	person, err := s.directory.Person(r.Context(), of)
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	if !person.Exists {
		return 0, nil, schemas.Errorf(schemas.CodeNotFound, "user_id: there is no such user.")
	}
	if of != u && hides(person, u) {
		return http.StatusOK, schemas.UserStatus{ConnectionState: "offline"}, nil
	}
	online, last, err := s.streams.Presence().Status(r.Context(), of, person.Devices)
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	last = max(last, person.LastActive)
	return http.StatusOK, schemas.UserStatus{LastActiveTime: last, ConnectionState: connectionState(online, last, time.Now())}, nil
}

// connectionState is the text of a status.
func connectionState(online bool, last schemas.Timestamp, now time.Time) string {
	ago := now.Sub(last.Time())
	switch {
	case online:
		return "online"
	case last == 0 || ago >= recently:
		return "offline"
	}
	minutes := max(int(ago.Minutes()), 1)
	if minutes == 1 {
		return "online 1 minute ago"
	}
	return fmt.Sprintf("online %d minutes ago", minutes)
}
