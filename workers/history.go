package workers

import (
	"context"

	"roost/schemas"
	"roost/streams"
)

// history answers requests for pages. Who sees what follows from the reader's
// settings now, not from what the store has.
type history struct {
	store     Store
	directory *streams.Directory
}

var _ streams.HistoryHandler = (*history)(nil)

// Page implements [streams.HistoryHandler]. A reader who keeps no history gets an
// empty page.
func (h *history) Page(ctx context.Context, req schemas.HistoryRequest) (schemas.HistoryReply, error) {
	reply := schemas.HistoryReply{Messages: []schemas.Message{}}
	chat, err := schemas.ParseParticipant(req.Chat)
	if err != nil {
		return reply, schemas.InvalidField("chat", "%v.", err)
	}
	if chat.Group != "" {
		return reply, schemas.Errorf(schemas.CodeNotAMember, "chat: you are not a member of that group.")
	}
	settings, err := h.directory.Settings(ctx, req.UserID)
	if err != nil {
		return reply, schemas.Unavailable(err)
	}
	if !settings.KeepsHistory() {
		return reply, nil
	}
	upTo := req.UpTo
	if upTo == 0 {
		upTo = schemas.Now()
	}
	messages, err := h.store.Page(ctx, schemas.ChatWith(req.UserID, chat), settings.HistorySince, upTo, schemas.HistoryPageSize)
	if err != nil {
		return reply, &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: 1000, Cause: err,
			Message: "The history store does not answer. Try again later; messages flow on without it."}
	}
	reply.Messages = append(reply.Messages, messages...)
	return reply, nil
}

// Ready implements [streams.HistoryHandler].
func (h *history) Ready(ctx context.Context) error { return h.store.Ping(ctx) }
