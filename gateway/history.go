package gateway

import (
	"net/http"
	"strconv"

	"roost/schemas"
)

// getHistory is GET /history/{chat_participant_id}?last_timestamp=. A worker
// answers it: the gateway knows no database.
func (s *Server) getHistory(r *http.Request, u schemas.UserID) (int, any, error) {
	chat := r.PathValue("chat_participant_id")
	if _, err := schemas.ParseParticipant(chat); err != nil {
		return 0, nil, schemas.InvalidField("chat_participant_id", "%v.", err)
	}
	return s.historyPage(r, schemas.HistoryRequest{UserID: u, Chat: chat}, "last_timestamp")
}

// getChat is GET /chat/{group_id}?timestamp=: what a group keeps, for its members,
// whenever they joined.
func (s *Server) getChat(r *http.Request, u schemas.UserID) (int, any, error) {
	id, err := groupOfPath(r)
	if err != nil {
		return 0, nil, err
	}
	return s.historyPage(r, schemas.HistoryRequest{UserID: u, Chat: string(id), Whole: true}, "timestamp")
}

// historyPage asks a worker for the page at or before the time in the query.
func (s *Server) historyPage(r *http.Request, req schemas.HistoryRequest, parameter string) (int, any, error) {
	if text := r.URL.Query().Get(parameter); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms <= 0 {
			return 0, nil, schemas.InvalidField(parameter, "is not a positive number of milliseconds since 1970.")
		}
		req.UpTo = schemas.Timestamp(ms)
	}
	reply, err := s.streams.HistoryPage(r.Context(), req)
	if err != nil {
		return 0, nil, err
	}
	page := make([]schemas.HistoryMessage, 0, len(reply.Messages))
	for i := range reply.Messages {
		page = append(page, reply.Messages[i].History())
	}
	return http.StatusOK, page, nil
}
