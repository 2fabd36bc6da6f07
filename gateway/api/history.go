package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"roost/gateway/pages"
	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
)

// chats serves history, channels, read marks and the settings of chats.
type chats struct {
	streams   *streams.Conn
	directory *directory.Directory
	groups    *groups
	pages     *pages.Cache
	gateway   Gateway
	served    *prometheus.CounterVec // pages of channels, by where they came from
}

// history is GET /history/{chat_participant_id}?last_timestamp=&before=. A worker
// answers it: the gateway knows no database.
func (h *chats) history(r *http.Request, u schemas.UserID) (int, any, error) {
	chat := r.PathValue("chat_participant_id")
	if _, err := schemas.ParseParticipant(chat); err != nil {
		return 0, nil, schemas.InvalidField("chat_participant_id", "%v.", err)
	}
	bounds, err := pageBounds(r, "last_timestamp")
	if err != nil {
		return 0, nil, err
	}
	return h.historyPage(r, schemas.HistoryRequest{UserID: u, Chat: chat, UpTo: bounds.UpTo, Before: bounds.Before})
}

// pageBounds parses the bounds of a page. time is the name of the parameter of the time.
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

// historyPage requests a page from a worker.
func (h *chats) historyPage(r *http.Request, req schemas.HistoryRequest) (int, any, error) {
	reply, err := h.streams.HistoryPage(r.Context(), req)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, historyMessages(reply.Messages), nil
}

// historyMessages returns the messages of a page as clients see them.
func historyMessages(states []schemas.MessageState) []schemas.HistoryMessage {
	page := make([]schemas.HistoryMessage, 0, len(states))
	for i := range states {
		page = append(page, states[i].History())
	}
	return page
}

// group is GET /chat/{group_id}?timestamp=&before=: the history of a group, for its members,
// and the messages of a channel that were sent after they joined.
func (h *chats) group(r *http.Request, u schemas.UserID) (int, any, error) {
	bounds, err := pageBounds(r, "timestamp")
	if err != nil {
		return 0, nil, err
	}
	group, err := h.groups.of(r, u)
	if err != nil {
		return 0, nil, err
	}
	inHistory := schemas.HistoryRequest{UserID: u, Chat: string(group.GroupID), Whole: true, UpTo: bounds.UpTo, Before: bounds.Before}
	if group.KeepsHistory() && !h.pages.IsChannel(group) { // history has all of it
		return h.historyPage(r, inHistory)
	}
	page, complete, err := h.pages.Page(r.Context(), group, u, bounds)
	if err != nil {
		return 0, nil, err
	}
	switch {
	case !group.KeepsHistory() && len(page) == 0 && !h.pages.IsChannel(group):
		return 0, nil, schemas.Errorf(schemas.CodeHistoryOff, "This group keeps no history; its owner or an admin can switch it on.")
	case group.KeepsHistory() && !complete:
		if page, err = h.withHistory(r.Context(), page, inHistory); err != nil {
			return 0, nil, err
		}
	}
	if bounds == (schemas.PageBounds{}) {
		h.gateway.Pulled(u, group.GroupID)
	}
	return http.StatusOK, historyMessages(page), nil
}

// withHistory fills a page with messages from history. If no worker answers, the page ends
// where the channel ends.
func (h *chats) withHistory(ctx context.Context, page []schemas.MessageState, req schemas.HistoryRequest) ([]schemas.MessageState, error) {
	reply, err := h.streams.HistoryPage(ctx, req)
	if err != nil {
		if len(page) > 0 {
			return page, nil
		}
		return nil, err
	}
	h.served.WithLabelValues("history").Inc()
	for _, m := range reply.Messages {
		if !slices.ContainsFunc(page, func(o schemas.MessageState) bool { return o.MessageID == m.MessageID }) {
			page = append(page, m)
		}
	}
	slices.SortFunc(page, func(a, b schemas.MessageState) int { return strings.Compare(string(b.MessageID), string(a.MessageID)) })
	return page[:min(len(page), schemas.HistoryPageSize)], nil
}
