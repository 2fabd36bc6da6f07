package api

import (
	"net/http"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
)

// users serves the settings, blocks and status of users.
type users struct {
	directory *directory.Directory
	streams   *streams.Conn
}

// settings is GET /user/settings.
func (h *users) settings(r *http.Request, u schemas.UserID) (int, any, error) {
	settings, err := h.directory.Settings(r.Context(), u)
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	return http.StatusOK, settings.Public(), nil
}

// changeSettings is PUT /user/settings with any subset of the fields.
func (h *users) changeSettings(r *http.Request, u schemas.UserID) (int, any, error) {
	var change schemas.SettingsChange
	if e := schemas.DecodeBody(r.Body, &change); e != nil {
		return 0, nil, e
	}
	if e := change.Validate(); e != nil {
		return 0, nil, e
	}
	settings, err := h.directory.ChangeSettings(r.Context(), u, func(old schemas.Settings) schemas.Settings {
		return change.Apply(old, schemas.Now())
	})
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	return http.StatusOK, settings.Public(), nil
}
