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
	upTo, err := timeInQuery(r, "last_timestamp")
	if err != nil {
		return 0, nil, err
	}
	return s.historyPage(r, schemas.HistoryRequest{UserID: u, Chat: chat, UpTo: upTo})
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

// historyPage asks a worker for a page.
func (s *Server) historyPage(r *http.Request, req schemas.HistoryRequest) (int, any, error) {
	reply, err := s.streams.HistoryPage(r.Context(), req)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, historyMessages(reply.Messages), nil
}

// historyMessages are what a page shows of messages.
func historyMessages(states []schemas.MessageState) []schemas.HistoryMessage {
	page := make([]schemas.HistoryMessage, 0, len(states))
	for i := range states {
		page = append(page, states[i].History())
	}
	return page
}
