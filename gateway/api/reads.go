package api

import (
	"net/http"
	"strconv"

	"roost/schemas"
)

// reads is GET /reads?after=: how far the user has read each chat, whether or not others may
// see it. The gateway first writes the marks that it still holds.
func (h *chats) reads(r *http.Request, u schemas.UserID) (int, any, error) {
	from := uint64(0)
	if after := r.URL.Query().Get("after"); after != "" {
		var err error
		if from, err = strconv.ParseUint(after, 36, 64); err != nil {
			return 0, nil, schemas.InvalidField("after", "is not the next of an earlier page; leave it out to begin anew.")
		}
	}
	if err := h.gateway.FlushReads(r.Context(), u); err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	marks, next, err := h.streams.Receipts().ReadMarks(r.Context(), u, from, schemas.MaxReadMarks)
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	page := schemas.ReadMarks{Items: marks}
	if next > 0 {
		page.Next = strconv.FormatUint(next, 36)
	}
	return http.StatusOK, page, nil
}
