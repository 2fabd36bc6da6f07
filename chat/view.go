package chat

import (
	"fmt"
	"strings"

	"roost/client"
	"roost/schemas"
)

// maxReactors is how many users are named for one reaction.
const maxReactors = 3

// view puts users, chats and messages into words.
type view struct {
	me       schemas.UserID
	chats    *chats
	messages *messages
}

// user returns the name of a user, "you" for this one.
func (v *view) user(user schemas.UserID) string {
	if user == v.me {
		return "you"
	}
	return clean(string(user))
}

// userIs returns the beginning of a sentence about a user.
func (v *view) userIs(user schemas.UserID) string {
	if user == v.me {
		return "you are"
	}
	return clean(string(user)) + " is"
}

// chat returns the name of a chat.
func (v *view) chat(p schemas.Participant) string {
	if name, ok := v.chats.names[p.Group]; ok {
		return clean(name)
	}
	return clean(id(p))
}

// sender returns the name of a message's sender, and its chat unless that follows.
func (v *view) sender(m client.Message) string {
	from, chat := v.user(m.SenderID), v.messages.chatOf(&m.Message)
	switch {
	case chat.Group != "":
		from += " in " + v.chat(chat)
	case m.SenderID == v.me:
		from += " to " + v.chat(chat) // from another device
	}
	return from
}

// quote returns the beginning of a message.
func (v *view) quote(id schemas.MessageID) string {
	i, found := v.messages.find(id)
	if !found || v.messages.known[i].Expired(schemas.Now()) {
		return "an earlier message"
	}
	state := v.messages.known[i].state()
	if state.Deleted {
		return "a deleted message"
	}
	return clean(short(state.Content))
}

// about quotes the message that another one replies to or changes.
func (v *view) about(id schemas.MessageID) string {
	if id == "" {
		return ""
	}
	return " (re: " + v.quote(id) + ")"
}

// row returns a message in one row.
func (v *view) row(s schemas.MessageState) string {
	from := clean(string(s.SenderID))
	return fmt.Sprintf("[%s] %s%s: %s", clock(s.Timestamp), from, v.about(s.ReplyTo), v.text(s))
}

// text returns the content of a message and its updates.
func (v *view) text(s schemas.MessageState) string {
	if s.Deleted {
		return "(deleted)"
	}
	text := clean(s.Content)
	if s.EditedAt > 0 {
		text += " (edited)"
	}
	if len(s.Reactions) > 0 {
		text += " [" + v.reactions(s.Reactions) + "]"
	}
	if s.ExpiresAt > 0 {
		text += " (until " + clock(s.ExpiresAt) + ")"
	}
	return text
}

// reactions returns each reaction with the users who reacted so.
func (v *view) reactions(all []schemas.Reaction) string {
	var kinds []string
	users := make(map[string][]string)
	for _, r := range all {
		if users[r.Reaction] == nil {
			kinds = append(kinds, r.Reaction)
		}
		users[r.Reaction] = append(users[r.Reaction], v.user(r.UserID))
	}
	for i, kind := range kinds {
		names := users[kind]
		if more := len(names) - maxReactors; more > 0 {
			names = append(names[:maxReactors:maxReactors], fmt.Sprintf("%d more", more))
		}
		kinds[i] = clean(short(kind)) + " " + strings.Join(names, ", ")
	}
	return strings.Join(kinds, "; ")
}

// update returns a sentence about an update.
func (v *view) update(u client.MessageUpdate) string {
	by := v.sender(u.Message)
	switch {
	case u.Change == schemas.ChangeEdit:
		return by + " edited" + v.about(u.TargetMessageID) + ": " + clean(u.Content)
	case u.Change == schemas.ChangeDelete:
		return by + " deleted a message of " + clock(u.TargetMessageID.Time())
	case u.Change == schemas.ChangeReaction && u.Content == "":
		return by + " took a reaction back, to " + v.quote(u.TargetMessageID)
	case u.Change == schemas.ChangeReaction:
		return by + " reacted " + clean(short(u.Content)) + " to " + v.quote(u.TargetMessageID)
	}
	return by + " changed " + v.quote(u.TargetMessageID) // a change of a newer server
}

// outgoing returns the row of what the user sends.
func (v *view) outgoing(o outgoing) string {
	switch {
	case o.change == schemas.ChangeEdit:
		return "edit: " + o.text
	case o.change == schemas.ChangeDelete:
		return "deletion of " + v.quote(o.target)
	case o.change == schemas.ChangeReaction && o.text == "":
		return "no reaction to " + v.quote(o.target)
	case o.change == schemas.ChangeReaction:
		return o.text + " to " + v.quote(o.target)
	}
	return o.text
}
