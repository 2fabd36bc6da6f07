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

// timeInQuery is the time that a page is asked for; 0 is now.
func timeInQuery(r *http.Request, parameter string) (schemas.Timestamp, error) {
	text := r.URL.Query().Get(parameter)
	if text == "" {
		return 0, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms <= 0 {
		return 0, schemas.InvalidField(parameter, "is not a positive number of milliseconds since 1970.")
	}
	return schemas.Timestamp(ms), nil
}

// historyPage asks a worker for the page at or before the time in the query.
func (s *Server) historyPage(r *http.Request, req schemas.HistoryRequest, parameter string) (int, any, error) {
	var err error
	if req.UpTo, err = timeInQuery(r, parameter); err != nil {
		return 0, nil, err
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
