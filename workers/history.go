package workers

import (
	"context"
	"errors"
	"slices"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/group"
)

// history answers requests for history. The reader's current settings and memberships
// decide which messages of the store a page shows.
type history struct {
	store     Store
	directory *directory.Directory
	groups    *group.Groups
}

var _ streams.HistoryHandler = (*history)(nil)

// Chats implements [streams.HistoryHandler]. It returns the reader's 1:1 chats, if the
// reader keeps history, and every group that the reader was ever a member of. The store
// cannot tell the groups: it knows the senders of a group, and not its readers. A group
// may also keep history that the reader does not. A chat of the answer may have no
// message that the reader can see.
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
			return reply, storeUnavailable(err)
		}
	}
	for _, chat := range all {
		if name, ok := peerOf(chat, req.UserID); ok && name > req.After {
			reply.Chats = append(reply.Chats, name)
		}
	}
	slices.Sort(reply.Chats)
	reply.Chats = reply.Chats[:min(len(reply.Chats), schemas.MaxChats)]
	return reply, nil
}

// peerOf returns the other user of a 1:1 chat of u.
func peerOf(chat schemas.ChatID, u schemas.UserID) (string, bool) {
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
		return reply, schemas.InvalidField("whole", "applies to groups only.")
	case chat.Group == "":
		err = h.viewOfDirect(ctx, req.UserID, &v)
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
		return reply, storeUnavailable(err)
	}
	reply.Messages = append(reply.Messages, states...)
	return reply, nil
}

// view selects the messages of a chat that a reader can see.
type view struct {
	chat   schemas.ChatID
	since  schemas.Timestamp // the first; 0: no message
	upTo   schemas.Timestamp // the last
	before schemas.MessageID // only smaller ids; empty: no bound
	spans  []schemas.Span    // of the reader's membership, oldest first
}

// always is the span that contains every message.
var always = []schemas.Span{{}}

// viewOfDirect sets the view of a 1:1 chat: what the reader keeps.
func (h *history) viewOfDirect(ctx context.Context, u schemas.UserID, v *view) error {
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

// viewOfMember sets a member's view of a group: the messages of the spans of the
// membership, as far as the user or the group keeps history.
func (h *history) viewOfMember(ctx context.Context, u schemas.UserID, id schemas.GroupID, v *view) error {
	g, err := h.groups.Peek(ctx, id)
	if err != nil && !errors.Is(err, group.ErrNotFound) {
		return schemas.Unavailable(err)
	}
	membership, err := h.groups.Membership(ctx, u, id)
	if err != nil {
		return schemas.Unavailable(err)
	}
	if v.spans = membership.Seen(u, g); len(v.spans) == 0 {
		return notAMember(g)
	}
	settings, err := h.directory.Settings(ctx, u)
	if err != nil {
		return schemas.Unavailable(err)
	}
	if settings.KeepsHistory() {
		v.since = settings.HistorySince
	}
	if g != nil && g.KeepsHistory() && (v.since == 0 || g.HistorySince < v.since) {
		v.since = g.HistorySince
	}
	return nil
}

// viewOfGroup sets the view of all messages that a group keeps. Only current members get it.
func (h *history) viewOfGroup(ctx context.Context, u schemas.UserID, id schemas.GroupID, v *view) error {
	g, err := h.groups.Peek(ctx, id)
	if errors.Is(err, group.ErrNotFound) {
		return notAMember(nil)
	}
	if err != nil {
		return schemas.Unavailable(err)
	}
	if _, ok := g.Member(u); !ok {
		return notAMember(g)
	}
	if !g.KeepsHistory() {
		return schemas.Errorf(schemas.CodeHistoryOff, "This group keeps no history. Its owner or an admin can switch it on.")
	}
	v.since, v.spans = g.HistorySince, always
	return nil
}

func notAMember(group *schemas.Group) error {
	if group == nil {
		return schemas.Errorf(schemas.CodeNotFound, "This group does not exist.")
	}
	return schemas.Errorf(schemas.CodeNotAMember, "You are not a member of that group.")
}

// shows reports whether the view applies an update: every deletion, and any other
// update that was sent within the view.
func (v *view) shows(u *schemas.Message) bool {
	return u.Change == schemas.ChangeDelete || u.Timestamp >= v.since &&
		slices.ContainsFunc(v.spans, func(s schemas.Span) bool { return s.Has(u.MessageID) })
}

// states reads a page and then the updates of its messages. In this order it does not
// miss a deletion that is stored between the two reads.
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

// read reads a page of the view, newest message first.
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

// readSpan reads the newest messages of a span, at most limit. The store selects by
// time, but a span and a view begin and end at a message id. If messages of the same
// millisecond lie outside, readSpan asks the store for more.
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

func storeUnavailable(cause error) error {
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: 1000, Cause: cause,
		Message: "The history store does not answer. Try again later. You can still send and receive messages."}
}

// Ready implements [streams.HistoryHandler].
func (h *history) Ready(ctx context.Context) error { return h.store.Ping(ctx) }
