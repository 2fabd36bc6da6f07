package workers

import (
	"context"
	"errors"
	"slices"

	"roost/schemas"
	"roost/streams"
)

// history answers requests for pages. Who sees what follows from the reader's
// settings and memberships now, not from what the store has.
type history struct {
	store     Store
	directory *streams.Directory
	groups    *streams.Groups
}

var _ streams.HistoryHandler = (*history)(nil)

// Chats implements [streams.HistoryHandler]. A reader who keeps no history has no
// chats of two. Groups are those of which they were ever a member: the store knows
// who has sent to a group, and not who has read, and the group may keep what the
// reader does not. Of a chat there may be nothing to see.
func (h *history) Chats(ctx context.Context, req schemas.ChatsRequest) (schemas.ChatsReply, error) {
	reply := schemas.ChatsReply{Chats: []string{}}
	settings, err := h.directory.Settings(ctx, req.UserID)
	if err != nil {
		return reply, schemas.Unavailable(err)
	}
	groups, err := h.groups.Seen(ctx, req.UserID)
	if err != nil {
		return reply, schemas.Unavailable(err)
	}
	for _, id := range groups {
		if string(id) > req.After {
			reply.Chats = append(reply.Chats, string(id))
		}
	}
	var all []schemas.ChatID
	if settings.KeepsHistory() {
		if all, err = h.store.Chats(ctx, req.UserID); err != nil {
			return reply, storeAway(err)
		}
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
	reply := schemas.HistoryReply{Messages: []schemas.MessageState{}}
	chat, err := schemas.ParseParticipant(req.Chat)
	if err != nil {
		return reply, schemas.InvalidField("chat", "%v.", err)
	}
	v := view{chat: schemas.ChatWith(req.UserID, chat), upTo: req.UpTo, before: req.Before}
	if v.upTo == 0 {
		v.upTo = schemas.Now()
	}
	switch {
	case chat.Group == "" && req.Whole:
		return reply, schemas.InvalidField("whole", "is about groups.")
	case chat.Group == "":
		err = h.viewOfUser(ctx, req.UserID, &v)
	case req.Whole:
		err = h.viewOfGroup(ctx, req.UserID, chat.Group, &v)
	default:
		err = h.viewOfMember(ctx, req.UserID, chat.Group, &v)
	}
	if err != nil {
		return reply, err
	}
	states, err := h.states(ctx, v)
	if err != nil {
		return reply, storeAway(err)
	}
	reply.Messages = append(reply.Messages, states...)
	return reply, nil
}

// view is what of a chat somebody sees.
type view struct {
	chat   schemas.ChatID
	since  schemas.Timestamp // 0: nothing
	upTo   schemas.Timestamp
	before schemas.MessageID // messages with a smaller id alone; empty: no such bound
	spans  []schemas.Span    // oldest first
}

// always is a span that has every message.
var always = []schemas.Span{{}}

// viewOfUser is that of one of two.
func (h *history) viewOfUser(ctx context.Context, u schemas.UserID, v *view) error {
	settings, err := h.directory.Settings(ctx, u)
	if err != nil {
		return schemas.Unavailable(err)
	}
	v.spans = always
	if settings.KeepsHistory() {
		v.since = settings.HistorySince
	}
	return nil
}

// viewOfMember is what a person saw of a group: while they were a member, and as
// long as they or the group keep history.
func (h *history) viewOfMember(ctx context.Context, u schemas.UserID, id schemas.GroupID, v *view) error {
	group, err := h.groups.Peek(ctx, id)
	if err != nil && !errors.Is(err, streams.ErrNoGroup) {
		return schemas.Unavailable(err)
	}
	membership, err := h.groups.Membership(ctx, u, id)
	if err != nil {
		return schemas.Unavailable(err)
	}
	if v.spans = membership.Seen(u, group); len(v.spans) == 0 {
		return notAMember(group)
	}
	settings, err := h.directory.Settings(ctx, u)
	if err != nil {
		return schemas.Unavailable(err)
	}
	if settings.KeepsHistory() {
		v.since = settings.HistorySince
	}
	if group != nil && group.KeepsHistory() && (v.since == 0 || group.HistorySince < v.since) {
		v.since = group.HistorySince
	}
	return nil
}

// viewOfGroup is what the group keeps, for who is a member now.
func (h *history) viewOfGroup(ctx context.Context, u schemas.UserID, id schemas.GroupID, v *view) error {
	group, err := h.groups.Peek(ctx, id)
	if errors.Is(err, streams.ErrNoGroup) {
		return notAMember(nil)
	}
	if err != nil {
		return schemas.Unavailable(err)
	}
	if _, ok := group.Member(u); !ok {
		return notAMember(group)
	}
	if !group.KeepsHistory() {
		return schemas.Errorf(schemas.CodeHistoryOff, "This group keeps no history; its owner or an admin can switch it on.")
	}
	v.since, v.spans = group.HistorySince, always
	return nil
}

func notAMember(group *schemas.Group) error {
	if group == nil {
		return schemas.Errorf(schemas.CodeNotFound, "There is no such group.")
	}
	return schemas.Errorf(schemas.CodeNotAMember, "You are not a member of that group.")
}

// shows says whether the view has what an update does: always where it deletes, else
// where it was made within what the view has.
func (v *view) shows(u *schemas.Message) bool {
	return u.Change == schemas.ChangeDelete || u.Timestamp >= v.since &&
		slices.ContainsFunc(v.spans, func(s schemas.Span) bool { return s.Has(u.MessageID) })
}

// states reads a page, and then what was done to its messages: so a deletion that
// comes in between is seen.
func (h *history) states(ctx context.Context, v view) ([]schemas.MessageState, error) {
	messages, err := h.read(ctx, v)
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	targets := make([]schemas.MessageID, len(messages))
	for i := range messages {
		targets[i] = messages[i].MessageID
	}
	updates, err := h.store.Updates(ctx, v.chat, targets)
	if err != nil {
		return nil, err
	}
	updates = slices.DeleteFunc(updates, func(u schemas.Message) bool { return !v.shows(&u) })
	return schemas.Fold(messages, updates), nil
}

// read reads a page of what the view has, newest first.
func (h *history) read(ctx context.Context, v view) (page []schemas.Message, err error) {
	if v.since == 0 {
		return nil, nil
	}
	for i := len(v.spans) - 1; i >= 0 && len(page) < schemas.HistoryPageSize; i-- {
		some, err := h.readSpan(ctx, v, v.spans[i], schemas.HistoryPageSize-len(page))
		if err != nil {
			return nil, err
		}
		page = append(page, some...)
	}
	return page, nil
}

// readSpan reads the newest limit messages of a span. The store knows times and no
// ids, so it is asked for more where messages of the millisecond in which the span,
// or the view, begins or ends do not belong to it.
func (h *history) readSpan(ctx context.Context, v view, s schemas.Span, limit int) ([]schemas.Message, error) {
	since, upTo := max(v.since, s.From.Time()), v.upTo
	if s.To != "" {
		upTo = min(upTo, s.To.Time())
	}
	if v.before != "" {
		upTo = min(upTo, v.before.Time())
	}
	for n := limit; ; n *= 2 {
		found, err := h.store.Page(ctx, v.chat, since, upTo, n)
		if err != nil {
			return nil, err
		}
		whole := len(found) < n
		kept := found[:0]
		for _, m := range found {
			if s.Has(m.MessageID) && (v.before == "" || m.MessageID < v.before) {
				kept = append(kept, m)
			}
		}
		if whole || len(kept) >= limit {
			return kept[:min(limit, len(kept))], nil
		}
	}
}

func storeAway(cause error) error {
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: 1000, Cause: cause,
		Message: "The history store does not answer. Try again later; messages flow on without it."}
}

// Ready implements [streams.HistoryHandler].
func (h *history) Ready(ctx context.Context) error { return h.store.Ping(ctx) }
