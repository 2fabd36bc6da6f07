package chat

import (
	"slices"

	"roost/schemas"
)

// maxMarked bounds the sent messages that may still get a mark, and the marks that may
// still get their message.
const maxMarked = 256

// marks shows how far sent messages have got: accepted, delivered, read. The goroutine of
// the session owns it.
type marks struct {
	screen *screen
	sender *sender
	sent   []sentMessage // not known to be read, oldest first, at most maxMarked
	early  []earlyMark   // at most maxMarked
}

type sentMessage struct {
	to        schemas.Participant
	text      string
	id        schemas.MessageID
	delivered bool
}

// earlyMark came before the session heard that the message was accepted.
type earlyMark struct {
	id   schemas.MessageID
	chat string // the chat that was read up to id; "": id was delivered
}

// accepted shows the first mark of a message, and the marks of it that came before.
func (m *marks) accepted(s sentMessage) {
	m.screen.mark(s.id, "✓", s.text)
	m.sent = append(m.sent, s)
	m.sent = m.sent[max(0, len(m.sent)-maxMarked):]
	early := m.early
	m.early = nil
	for _, e := range early {
		if e.chat == "" {
			m.delivered(e.id)
		} else {
			m.read(e.chat, e.id)
		}
	}
}

// delivered shows the second mark of one message.
func (m *marks) delivered(id schemas.MessageID) {
	if !m.deliveredAll(func(s sentMessage) bool { return s.id == id }) {
		m.keep(earlyMark{id: id})
	}
}

// deliveredAll shows the second mark of each message that matches, and says whether one
// did.
func (m *marks) deliveredAll(match func(sentMessage) bool) (any bool) {
	for i, s := range m.sent {
		if !match(s) {
			continue
		}
		any = true
		if !s.delivered {
			m.sent[i].delivered = true
			m.screen.mark(s.id, "✓✓", s.text)
		}
	}
	return any
}

// read shows the last mark of the newest message that was read in a chat, which stands
// for the messages before it. In a group one reader is enough.
func (m *marks) read(chat string, upTo schemas.MessageID) {
	match := func(s sentMessage) bool { return id(s.to) == chat && s.id <= upTo }
	var newest sentMessage
	for _, s := range m.sent {
		if match(s) && s.id > newest.id {
			newest = s
		}
	}
	if newest.id != "" {
		m.sent = slices.DeleteFunc(m.sent, match)
		m.screen.mark(newest.id, "●", newest.text)
	}
	if newest.id < upTo {
		m.keep(earlyMark{upTo, chat})
	}
}

// receipt shows the marks of messages that were delivered or read while this device was
// offline.
func (m *marks) receipt(item schemas.ReceiptItem) {
	m.deliveredAll(func(s sentMessage) bool { return item.Chat == id(s.to) && s.id <= item.DeliveredUpTo })
	if item.ReadUpTo != "" {
		m.read(item.Chat, item.ReadUpTo)
	}
}

// keep keeps a mark whose message is unknown, as long as a message has no answer. Else it
// belongs to a message of an earlier process, or of another device.
func (m *marks) keep(e earlyMark) {
	if m.sender.unanswered > 0 && !slices.Contains(m.early, e) {
		m.early = append(m.early, e)
		m.early = m.early[max(0, len(m.early)-maxMarked):]
	}
}
