package api

import (
	"errors"
	"net/http"

	"roost/schemas"
	"roost/streams/directory"
)

// settings is GET /chats/{user_id}: the settings of the chat with that user.
func (h *chats) settings(r *http.Request, u schemas.UserID) (int, any, error) {
	me, other, id, err := h.ofPath(r, u)
	if err != nil {
		return 0, nil, err
	}
	days := schemas.DisappearingIn(u, me.Settings, id, other.Settings)
	return http.StatusOK, schemas.ChatSettings{DisappearingDays: &days}, nil
}

// changeSettings is PUT /chats/{user_id}. Both users get a notice in their inboxes, except one
// who blocks the other.
func (h *chats) changeSettings(r *http.Request, u schemas.UserID) (int, any, error) {
	var body schemas.ChatSettings
	if e := schemas.DecodeBody(r.Body, &body); e != nil {
		return 0, nil, e
	}
	if e := body.Validate(); e != nil {
		return 0, nil, e
	}
	me, other, id, err := h.ofPath(r, u)
	if err != nil {
		return 0, nil, err
	}
	clock := h.streams.Clock() // the newer choice wins
	clock.Observe(me.Settings.Timer(id).Chosen)
	clock.Observe(other.Settings.Timer(u).Chosen)
	change := schemas.ChatChange{MessageID: clock.Next(), ByUserID: u, UserID: id, DisappearingDays: *body.DisappearingDays}
	change.Timestamp = change.MessageID.Time()
	err = h.directory.SetTimer(r.Context(), u,
		schemas.ChatTimer{UserID: id, DisappearingDays: change.DisappearingDays, Chosen: change.MessageID})
	if errors.Is(err, directory.ErrTimerLimit) {
		return 0, nil, schemas.Errorf(schemas.CodeChatLimit,
			"%d chats of yours have a time after which messages disappear; set it to 0 in one of them first.", schemas.MaxTimers)
	}
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	told := []schemas.UserID{u}
	if id != u && !other.Blocks(u) {
		told = append(told, id)
	}
	if err := h.streams.CommitUpdate(r.Context(), told, change.MessageID, change.StoredUpdate()); err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	return http.StatusOK, body, nil
}

// ofPath returns the user of the request, and the one that the path names, with their id.
func (h *chats) ofPath(r *http.Request, u schemas.UserID) (me, other *directory.User, id schemas.UserID, err error) {
	if id, err = userOfPath(r); err != nil {
		return nil, nil, "", err
	}
	people, err := h.directory.Users(r.Context(), []schemas.UserID{u, id})
	if err != nil {
		return nil, nil, "", schemas.Unavailable(err)
	}
	if !people[1].Exists {
		return nil, nil, "", schemas.Errorf(schemas.CodeNotFound, "user_id: there is no such user.")
	}
	return people[0], people[1], id, nil
}
