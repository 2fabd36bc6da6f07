package workers

import (
	"context"
	"slices"

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

// Chats implements [streams.HistoryHandler]. A reader who keeps no history has none.
func (h *history) Chats(ctx context.Context, req schemas.ChatsRequest) (schemas.ChatsReply, error) {
	reply := schemas.ChatsReply{Chats: []string{}}
	settings, err := h.directory.Settings(ctx, req.UserID)
	if err != nil {
		return reply, schemas.Unavailable(err)
	}
	if !settings.KeepsHistory() {
		return reply, nil
	}
	all, err := h.store.Chats(ctx, req.UserID)
	if err != nil {
		return reply, storeAway(err)
	}
	for _, chat := range all {
		if name, ok := nameOf(chat, req.UserID); ok && name > req.After {
			reply.Chats = append(reply.Chats, name)
		}
	}
	slices.Sort(reply.Chats)
	reply.Chats = reply.Chats[:min(len(reply.Chats), schemas.MaxChats)]
	return reply, nil
}

// nameOf is how a user names one of their chats of two.
func nameOf(chat schemas.ChatID, u schemas.UserID) (string, bool) {
	a, b, ok := chat.Users()
	if a == u {
		return string(b), ok
	}
	return string(a), ok
}

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
	messages, err := h.page(ctx, schemas.ChatWith(req.UserID, chat), settings.HistorySince, upTo, req.Before)
	if err != nil {
		return reply, storeAway(err)
	}
	reply.Messages = append(reply.Messages, messages...)
	return reply, nil
}

// page reads a page of messages with ids smaller than before, where that is set.
// The store pages by time: of one millisecond with many messages it is asked for
// more until a page of them is left.
func (h *history) page(ctx context.Context, chat schemas.ChatID, since, upTo schemas.Timestamp, before schemas.MessageID) ([]schemas.Message, error) {
	if before == "" {
		return h.store.Page(ctx, chat, since, upTo, schemas.HistoryPageSize)
	}
	upTo = min(upTo, before.Time())
	for limit := 2 * schemas.HistoryPageSize; ; limit *= 2 {
		all, err := h.store.Page(ctx, chat, since, upTo, limit)
		if err != nil {
			return nil, err
		}
		page := slices.DeleteFunc(slices.Clone(all), func(m schemas.Message) bool { return m.MessageID >= before })
		if len(page) >= schemas.HistoryPageSize || len(all) < limit {
			return page[:min(len(page), schemas.HistoryPageSize)], nil
		}
	}
}

func storeAway(cause error) error {
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: 1000, Cause: cause,
		Message: "The history store does not answer. Try again later; messages flow on without it."}
}

// Ready implements [streams.HistoryHandler].
func (h *history) Ready(ctx context.Context) error { return h.store.Ping(ctx) }
