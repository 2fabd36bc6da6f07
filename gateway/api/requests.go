package api

import (
	"net/http"

	"roost/schemas"
	"roost/streams"
)

// idempotencyKey returns the Idempotency-Key of a request, or empty.
func idempotencyKey(r *http.Request) (string, error) {
	keys := r.Header.Values(schemas.IdempotencyKeyHeader)
	switch {
	case len(keys) == 0:
		return "", nil
	case len(keys) > 1:
		return "", schemas.InvalidField(schemas.IdempotencyKeyHeader, "is there twice.")
	}
	if e := schemas.ValidateIdempotencyKey(keys[0]); e != nil {
		return "", e
	}
	return keys[0], nil
}

// requestID reserves the id of what a POST creates. known reports that an earlier request with
// the same Idempotency-Key reserved it, and may have created it. Without a key the request has
// no id.
func requestID(c *streams.Conn, r *http.Request, u schemas.UserID, body any) (q schemas.Request, known bool, err error) {
	key, err := idempotencyKey(r)
	if err != nil || key == "" {
		return q, false, err
	}
	q, known, err = c.Request(r.Context(), u, schemas.NewRequest(r.Pattern, key, r.URL.Path, body))
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

// joined reports whether a user became a member of a group after the first request to add
// them, even if they left since. A retry of that request then adds no user.
func (g *groups) joined(r *http.Request, q schemas.Request, id schemas.GroupID, u schemas.UserID) (bool, error) {
	group, err := g.streams.Groups().Group(r.Context(), id)
	if err != nil {
		return false, groupError(err)
	}
	membership, err := g.streams.Groups().Membership(r.Context(), u, id)
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
