package gateway

import (
	"net/http"

	"roost/schemas"
)

// getHistory is GET /history/{chat_participant_id}?last_timestamp=&before=. A worker
// answers it: the gateway knows no database.
func (s *Server) getHistory(r *http.Request, u schemas.UserID) (int, any, error) {
	chat := r.PathValue("chat_participant_id")
	if _, err := schemas.ParseParticipant(chat); err != nil {
		return 0, nil, schemas.InvalidField("chat_participant_id", "%v.", err)
	}
	bounds, err := pageBounds(r, "last_timestamp")
	if err != nil {
		return 0, nil, err
	}
	return s.historyPage(r, schemas.HistoryRequest{UserID: u, Chat: chat, UpTo: bounds.UpTo, Before: bounds.Before})
}

// pageBounds are those that a page is asked for by; time is the name of the parameter
// of the time.
func pageBounds(r *http.Request, time string) (b schemas.PageBounds, err error) {
	query := r.URL.Query()
	if text := query.Get(time); text != "" {
		if b.UpTo, err = schemas.ParseTimestamp(text); err != nil {
			return b, schemas.InvalidField(time, "%v.", err)
		}
	}
	if text := query.Get("before"); text != "" {
		if b.Before, err = schemas.ParseMessageID(text); err != nil {
			return b, schemas.InvalidField("before", "%v.", err)
		}
	}
	return b, nil
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
