package chat

import (
	"fmt"
	"slices"
	"strings"

	"roost/schemas"
)

const (
	chatKnown    = 1024 // bounds the messages that can be answered, quoted and changed, and the updates that came before theirs
	chatReactors = 3    // people who are named for one reaction
)

// knownMessage is one that was shown, or sent from here, and what was done to it.
type knownMessage struct {
	schemas.Message
	updates []schemas.Message // the newest of each person and kind
	number  int               // its N in #N
}

// state is the message as it is now.
func (m knownMessage) state() schemas.MessageState {
	return schemas.Fold([]schemas.Message{m.Message}, m.updates)[0]
}

// find is where a message is, or would be, among the known ones.
func (c *chat) find(id schemas.MessageID) (int, bool) {
	return slices.BinarySearchFunc(c.known, id, func(m knownMessage, id schemas.MessageID) int {
		return strings.Compare(string(m.MessageID), string(id))
	})
}

// know remembers a message that is on the screen, and what came before it.
func (c *chat) know(m schemas.Message) schemas.MessageState {
	i, found := c.find(m.MessageID)
	if found {
		return c.known[i].state()
	}
	c.numbers++
	known := knownMessage{Message: m, number: c.numbers}
	c.early = slices.DeleteFunc(c.early, func(u schemas.Message) bool {
		if u.TargetMessageID == m.MessageID {
			known.update(u)
		}
		return u.TargetMessageID == m.MessageID
	})
	c.known = slices.Insert(c.known, i, known)
	c.trimKnown()
	return known.state()
}

// recall is know for a message of a page of history. What the page says was done to it
// takes the place of what an earlier page said; what came to this device, or was sent from
// it, is newer, but for an edit of an earlier time.
func (c *chat) recall(h schemas.HistoryMessage) schemas.MessageState {
	m, done := stored(h)
	c.know(m)
	i, found := c.find(m.MessageID)
	if !found { // too old to be remembered
		return schemas.Fold([]schemas.Message{m}, done)[0]
	}
	c.known[i].updates = c.known[i].paged(done)
	return c.known[i].state()
}

// paged are the updates of a message of which a page says what was done to it.
func (m knownMessage) paged(done []schemas.Message) []schemas.Message {
	var edited schemas.Timestamp
	for _, u := range done {
		edited = max(edited, u.Timestamp) // edits alone have one
	}
	for _, u := range m.updates {
		if u.MessageID != "" && (u.Change != schemas.ChangeEdit || u.Timestamp >= edited) {
			done = append(done, u)
		}
	}
	return done
}

// apply remembers what was done to a message, whether that has come or not.
func (c *chat) apply(u schemas.Message) {
	if i, found := c.find(u.TargetMessageID); found {
		c.known[i].update(u)
		return
	}
	c.early = append(c.early, u)
	c.early = c.early[max(0, len(c.early)-chatKnown):]
}

func (m *knownMessage) update(u schemas.Message) {
	if u.Chat() != m.Chat() {
		return // whoever reacts names the message, and the server does not know all of them
	}
	i := slices.IndexFunc(m.updates, func(o schemas.Message) bool { return o.SenderID == u.SenderID && o.Change == u.Change })
	switch {
	case i < 0:
		m.updates = append(m.updates, u)
	case m.updates[i].MessageID < u.MessageID:
		m.updates[i] = u
	}
}

// trimKnown forgets what has disappeared, and the oldest.
func (c *chat) trimKnown() {
	now := schemas.Now()
	c.known = slices.DeleteFunc(c.known, func(m knownMessage) bool { return m.Expired(now) })
	c.known = c.known[max(0, len(c.known)-chatKnown):]
}

// here are the messages of the open chat as they are now, the newest first.
func (c *chat) here(yield func(int, schemas.MessageState) bool) {
	c.trimKnown()
	for _, m := range slices.Backward(c.known) {
		if c.chatWith(&m.Message) == c.peer && !yield(m.number, m.state()) {
			return
		}
	}
}

// chatWith is the chat of a message as this person names it.
func (c *chat) chatWith(m *schemas.Message) schemas.Participant {
	switch {
	case m.GroupID != "":
		return schemas.Participant{Group: m.GroupID}
	case m.SenderID == c.client.Welcome().UserID:
		return schemas.Participant{User: m.ReceiverID}
	}
	return schemas.Participant{User: m.SenderID}
}

// quote is the beginning of a message.
func (c *chat) quote(id schemas.MessageID) string {
	i, found := c.find(id)
	if !found || c.known[i].Expired(schemas.Now()) {
		return "an earlier message"
	}
	state := c.known[i].state()
	if state.Deleted {
		return "a deleted message"
	}
	return clean(short(state.Content))
}

// about quotes what a message answers, or changes.
func (c *chat) about(id schemas.MessageID) string {
	if id == "" {
		return ""
	}
	return " (re: " + c.quote(id) + ")"
}

// row is a message as it is now.
func (c *chat) row(s schemas.MessageState) string {
	from := clean(string(s.SenderID))
	return fmt.Sprintf("[%s] %s%s: %s", clock(s.Timestamp), from, c.about(s.ReplyTo), c.text(s))
}

// text is the content of a message, and what was done to it.
func (c *chat) text(s schemas.MessageState) string {
	if s.Deleted {
		return "(deleted)"
	}
	text := clean(s.Content)
	if s.EditedAt > 0 {
		text += " (edited)"
	}
	if len(s.Reactions) > 0 {
		text += " [" + c.reactions(s.Reactions) + "]"
	}
	if s.ExpiresAt > 0 {
		text += " (until " + clock(s.ExpiresAt) + ")"
	}
	return text
}

// reactions names who reacted how.
func (c *chat) reactions(all []schemas.Reaction) string {
	var kinds []string
	of := make(map[string][]string)
	for _, r := range all {
		if of[r.Reaction] == nil {
			kinds = append(kinds, r.Reaction)
		}
		of[r.Reaction] = append(of[r.Reaction], c.who(r.UserID))
	}
	for i, kind := range kinds {
		names := of[kind]
		if more := len(names) - chatReactors; more > 0 {
			names = append(names[:chatReactors:chatReactors], fmt.Sprintf("%d more", more))
		}
		kinds[i] = clean(short(kind)) + " " + strings.Join(names, ", ")
	}
	return strings.Join(kinds, "; ")
}
