package gateway

import (
	"net/http"
	"strconv"

	"roost/schemas"
)

// sendReadMarks shows how far the user has read on other devices, whoever else may see it.
func (s *session) sendReadMarks(marks []schemas.ReadMark) {
	items := make([]schemas.ReceiptItem, len(marks))
	for i, m := range marks {
		items[i] = schemas.ReceiptItem{Chat: m.Chat, UserID: s.addr.User, ReadUpTo: m.ReadUpTo}
	}
	s.conn.sendFrame(&schemas.Receipts{Items: items})
}

// getReads is GET /reads?after=: how far the user has read each chat, whoever else may
// see it. What this gateway has not written yet is written before.
func (s *Server) getReads(r *http.Request, u schemas.UserID) (int, any, error) {
	from := uint64(0)
	if after := r.URL.Query().Get("after"); after != "" {
		var err error
		if from, err = strconv.ParseUint(after, 36, 64); err != nil {
			return 0, nil, schemas.InvalidField("after", "is not the next of an earlier page; leave it out to begin anew.")
		}
	}
	if err := s.reads.flush(r.Context(), u); err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	marks, next, err := s.streams.Receipts().ReadMarks(r.Context(), u, from, schemas.MaxReadMarks)
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	page := schemas.ReadMarks{Items: marks}
	if next > 0 {
		page.Next = strconv.FormatUint(next, 36)
	}
	return http.StatusOK, page, nil
}
