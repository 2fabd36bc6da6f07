package api

import (
	"fmt"
	"net/http"
	"time"

	"roost/schemas"
)

// recently is for how long after the last activity a status contains the minutes.
const recently = time.Hour

// status is GET /user/{user_id}/status. A user who hides last-seen, or blocks the viewer, is
// offline to others: a temporary "online" would reveal when they were last seen.
func (h *users) status(r *http.Request, u schemas.UserID) (int, any, error) {
	of, err := userOfPath(r)
	if err != nil {
		return 0, nil, err
	}
	person, err := h.directory.User(r.Context(), of)
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	if !person.Exists {
		return 0, nil, schemas.Errorf(schemas.CodeNotFound, "user_id: there is no such user.")
	}
	if of != u && person.HidesPresence(u) {
		return http.StatusOK, schemas.UserStatus{ConnectionState: "offline"}, nil
	}
	online, last, err := h.streams.Presence().Status(r.Context(), of, person.Devices)
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
