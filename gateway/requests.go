package gateway

import (
	"net/http"

	"roost/schemas"
)

// idempotencyKey is the key that the client made for a request, or empty.
func idempotencyKey(r *http.Request) (string, error) {
	keys := r.Header.Values(schemas.IdempotencyKeyHeader)
	switch {
	case len(keys) == 0:
		return "", nil
	case len(keys) > 1:
		return "", schemas.InvalidField(schemas.IdempotencyKeyHeader, "stands there twice.")
	}
	if e := schemas.ValidateIdempotencyKey(keys[0]); e != nil {
		return "", e
	}
	return keys[0], nil
}

// request reserves the id of what a POST makes; known says that a request under the
// same Idempotency-Key has reserved it before, and may have made it. Without a key the
// request has no id.
func (s *Server) request(r *http.Request, u schemas.UserID, body any) (q schemas.Request, known bool, err error) {
	key, err := idempotencyKey(r)
	if err != nil || key == "" {
		return q, false, err
	}
	q, known, err = s.streams.Request(r.Context(), u, schemas.NewRequest(r.Pattern, key, r.URL.Path, body))
	if err != nil {
		return q, false, requestError(err)
	}
	return q, known, nil
}

func requestError(err error) error {
	if told := schemas.AsError(err); told.Code == schemas.CodeConflict {
		return told
	}
	return schemas.Unavailable(err)
}

// joined says whether a user was added to a group after a request for that came first:
// they are a member, or were one. Then a retry of the request adds nobody.
func (s *Server) joined(r *http.Request, q schemas.Request, id schemas.GroupID, u schemas.UserID) (bool, error) {
	group, err := s.streams.Groups().Group(r.Context(), id)
	if err != nil {
		return false, groupError(err)
	}
	membership, err := s.streams.Groups().Membership(r.Context(), u, id)
	if err != nil {
		return false, groupUnavailable(err)
	}
	for _, span := range membership.Seen(u, group) {
		if span.From > q.ID {
			return true, nil
		}
	}
	return false, nil
}
