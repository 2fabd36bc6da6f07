package chat

import (
	"slices"
	"strings"

	"roost/schemas"
)

// maxKnown bounds the messages that can be quoted and changed, and the updates that came
// before their messages.
const maxKnown = 1024

// messages are the newest messages that were shown, or sent from here, with their
// updates. The goroutine of the session owns it.
type messages struct {
	me       schemas.UserID
	known    []knownMessage    // by message id, at most maxKnown
	early    []schemas.Message // updates of messages that are not known, oldest first, at most maxKnown
	numbered int               // messages that got a number so far
}

// knownMessage is a message with the updates of it.
type knownMessage struct {
	schemas.Message
	updates []schemas.Message // the newest of each user and kind
	number  int               // its N in #N
}

// state returns the message after its updates.
func (m knownMessage) state() schemas.MessageState {
	return schemas.Fold([]schemas.Message{m.Message}, m.updates)[0]
}

// find returns the place of a message among the known ones.
func (s *messages) find(id schemas.MessageID) (int, bool) {
	return slices.BinarySearchFunc(s.known, id, func(m knownMessage, id schemas.MessageID) int {
		return strings.Compare(string(m.MessageID), string(id))
	})
}

// add keeps a message that is on the screen, together with the updates that came before
// it. It returns its state.
func (s *messages) add(m schemas.Message) schemas.MessageState {
	i, found := s.find(m.MessageID)
	if found {
		return s.known[i].state()
	}
	s.numbered++
	known := knownMessage{Message: m, number: s.numbered}
	s.early = slices.DeleteFunc(s.early, func(u schemas.Message) bool {
		if u.TargetMessageID == m.MessageID {
			known.update(u)
		}
		return u.TargetMessageID == m.MessageID
	})
	s.known = slices.Insert(s.known, i, known)
	s.trim()
	return known.state()
}

// addStored is add for a message of a page of history. The updates of the page replace
// those of an earlier page. An update that this device received or sent is newer than the
// page, unless it is an edit with an earlier time.
func (s *messages) addStored(h schemas.HistoryMessage) schemas.MessageState {
	m, updates := stored(h)
	s.add(m)
	i, found := s.find(m.MessageID)
	if !found { // older than the maxKnown newest
		return schemas.Fold([]schemas.Message{m}, updates)[0]
	}
	s.known[i].updates = s.known[i].merge(updates)
	return s.known[i].state()
}

// merge returns the updates of the message after a page of history brought others.
func (m knownMessage) merge(page []schemas.Message) []schemas.Message {
	var edited schemas.Timestamp
	for _, u := range page {
		edited = max(edited, u.Timestamp) // edits alone have one
	}
	for _, u := range m.updates {
		if u.MessageID != "" && (u.Change != schemas.ChangeEdit || u.Timestamp >= edited) {
			page = append(page, u)
		}
	}
	return page
}

// apply keeps an update, whether its message is known or not.
func (s *messages) apply(u schemas.Message) {
	if i, found := s.find(u.TargetMessageID); found {
		s.known[i].update(u)
		return
	}
	s.early = append(s.early, u)
	s.early = s.early[max(0, len(s.early)-maxKnown):]
}

func (m *knownMessage) update(u schemas.Message) {
	if u.Chat() != m.Chat() {
		return // a user may name any message in a reaction, and the server does not know all of them
	}
	i := slices.IndexFunc(m.updates, func(o schemas.Message) bool { return o.SenderID == u.SenderID && o.Change == u.Change })
	switch {
	case i < 0:
		m.updates = append(m.updates, u)
	case m.updates[i].MessageID < u.MessageID:
		m.updates[i] = u
	}
}

// trim drops the messages that have disappeared, and the oldest.
func (s *messages) trim() {
	now := schemas.Now()
	s.known = slices.DeleteFunc(s.known, func(m knownMessage) bool { return m.Expired(now) })
	s.known = s.known[max(0, len(s.known)-maxKnown):]
}

// in yields the messages of a chat, the newest first, with their numbers.
func (s *messages) in(chat schemas.Participant) func(yield func(int, schemas.MessageState) bool) {
	return func(yield func(int, schemas.MessageState) bool) {
		s.trim()
		for _, m := range slices.Backward(s.known) {
			if s.chatOf(&m.Message) == chat && !yield(m.number, m.state()) {
				return
			}
		}
	}
}

// newest returns the newest message of a chat that matches.
func (s *messages) newest(chat schemas.Participant, match func(int, schemas.MessageState) bool) (schemas.MessageID, bool) {
	for n, m := range s.in(chat) {
		if match(n, m) {
			return m.MessageID, true
		}
	}
	return "", false
}

// chatOf returns the chat of a message from this user's side.
func (s *messages) chatOf(m *schemas.Message) schemas.Participant {
	switch {
	case m.GroupID != "":
		return schemas.Participant{Group: m.GroupID}
	case m.SenderID == s.me:
		return schemas.Participant{User: m.ReceiverID}
	}
	return schemas.Participant{User: m.SenderID}
}

// stored turns a message of a page into a message and its updates. These have no id: an
// update that comes to this device is newer.
func stored(m schemas.HistoryMessage) (schemas.Message, []schemas.Message) {
	update := schemas.Message{SenderID: m.SenderID, TargetMessageID: m.MessageID}
	var updates []schemas.Message
	if m.EditedAt > 0 {
		update.Change, update.Content, update.Timestamp = schemas.ChangeEdit, m.Content, m.EditedAt
		updates = append(updates, update)
	}
	for _, r := range m.Reactions {
		update.Change, update.SenderID, update.Content = schemas.ChangeReaction, r.UserID, r.Reaction
		updates = append(updates, update)
	}
	if m.Deleted {
		update.Change, update.SenderID, update.Content = schemas.ChangeDelete, m.SenderID, ""
		updates = append(updates, update)
	}
	return schemas.Message{MessageID: m.MessageID, SenderID: m.SenderID, ReceiverID: m.ReceiverID, GroupID: m.GroupID,
		Content: m.Content, Timestamp: m.Timestamp, ReplyTo: m.ReplyTo, ExpiresAt: m.ExpiresAt}, updates
}
