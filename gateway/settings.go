package gateway

import (
	"net/http"

	"roost/schemas"
)

// getSettings is GET /user/settings.
func (s *Server) getSettings(r *http.Request, u schemas.UserID) (int, any, error) {
	settings, err := s.directory.Settings(r.Context(), u)
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	return http.StatusOK, settings.Public(), nil
}

// putSettings is PUT /user/settings with any subset of the fields.
func (s *Server) putSettings(r *http.Request, u schemas.UserID) (int, any, error) {
	var change schemas.SettingsChange
	if e := schemas.DecodeBody(r.Body, &change); e != nil {
		return 0, nil, e
	}
	if e := change.Validate(); e != nil {
		return 0, nil, e
	}
	settings, err := s.directory.ChangeSettings(r.Context(), u, func(old schemas.Settings) schemas.Settings {
		return change.Apply(old, schemas.Now())
	})
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	return http.StatusOK, settings.Public(), nil
}
