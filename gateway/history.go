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
	p, err := schemas.ParseParticipant(chat)
	if err != nil {
		return 0, nil, schemas.InvalidField("chat_participant_id", "%v.", err)
	}
	if p.Group != "" {
		return 0, nil, schemas.Errorf(schemas.CodeNotAMember, "chat_participant_id: you are not a member of that group.")
	}
	req := schemas.HistoryRequest{UserID: u, Chat: chat}
	if text := r.URL.Query().Get("last_timestamp"); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms <= 0 {
			return 0, nil, schemas.InvalidField("last_timestamp", "is not a positive number of milliseconds since 1970.")
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
