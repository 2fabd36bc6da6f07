package chat

import (
	"errors"
	"slices"

	"roost/client"
	"roost/schemas"
)

// chatMarked bounds the sent messages that may still get a mark, and the marks
// that may still get their message.
const chatMarked = 256

// marks is how far what was sent from here has got.
type marks struct {
	sent  []sentLine // not known to be read, oldest first, at most chatMarked
	early []earlyMark
}

type sentLine struct {
	to        schemas.Participant
	text      string
	id        schemas.MessageID
	delivered bool
}

// earlyMark came before run heard that the message was sent.
type earlyMark struct {
	id   schemas.MessageID
	chat string // where it was read up to id; "": id is delivered
}

// answered shows what became of a line.
func (c *chat) answered(r result) {
	var unknown *client.UnknownOutcomeError
	switch {
	case errors.As(r.err, &unknown):
		c.screen.line("? %s: %v", clean(c.line(r.outgoing)), r.err)
	case r.err != nil:
		c.screen.line("✗ %s: not sent: %v", clean(c.line(r.outgoing)), explain(r.err))
	default:
		c.accepted(r)
	}
}

func (c *chat) accepted(r result) {
	s := sentLine{to: r.to, text: c.line(r.outgoing), id: r.sent.MessageID}
	c.screen.mark(s.id, "✓", s.text)
	m := schemas.Message{MessageID: s.id, SenderID: c.client.Welcome().UserID, ReceiverID: r.to.User, GroupID: r.to.Group,
		Content: r.text, Timestamp: r.sent.Timestamp, ReplyTo: r.replyTo, Change: r.change, TargetMessageID: r.target, ExpiresAt: r.sent.ExpiresAt}
	if m.IsUpdate() {
		c.apply(m)
	} else {
		c.know(m)
	}
	c.marks.sent = append(c.marks.sent, s)
	c.marks.sent = c.marks.sent[max(0, len(c.marks.sent)-chatMarked):]
	early := c.marks.early
	c.marks.early = nil
	for _, e := range early {
		if e.chat == "" {
			c.markDelivered(e.id)
		} else {
			c.markRead(e.chat, e.id)
		}
	}
}

// markDelivered shows the second mark of one message.
func (c *chat) markDelivered(id schemas.MessageID) {
	if !c.delivered(func(s sentLine) bool { return s.id == id }) {
		c.tooEarly(earlyMark{id: id})
	}
}

// delivered shows the second marks, each once.
func (c *chat) delivered(is func(sentLine) bool) (any bool) {
	for i, s := range c.marks.sent {
		if !is(s) {
			continue
		}
		any = true
		if !s.delivered {
			c.marks.sent[i].delivered = true
			c.screen.mark(s.id, "✓✓", s.text)
		}
	}
	return any
}

// markRead shows the last mark of the newest message that was read in a chat, in a
// group by anybody, which stands for those before it.
func (c *chat) markRead(chat string, upTo schemas.MessageID) {
	read := func(s sentLine) bool { return participant(s.to) == chat && s.id <= upTo }
	var newest sentLine
	for _, s := range c.marks.sent {
		if read(s) && s.id > newest.id {
			newest = s
		}
	}
	if newest.id != "" {
		c.marks.sent = slices.DeleteFunc(c.marks.sent, read)
		c.screen.mark(newest.id, "●", newest.text)
	}
	if newest.id < upTo {
		c.tooEarly(earlyMark{upTo, chat})
	}
}

func (c *chat) tooEarly(e earlyMark) {
	if c.unanswered == 0 {
		return // of an earlier chat, or another device
	}
	if !slices.Contains(c.marks.early, e) {
		c.marks.early = append(c.marks.early, e)
		c.marks.early = c.marks.early[max(0, len(c.marks.early)-chatMarked):]
	}
}

// receipts shows what happened while this device was away.
// readElsewhere forgets that a chat is unread.
func (c *chat) readElsewhere(item schemas.ReceiptItem) {
	chat, err := schemas.ParseParticipant(item.Chat)
	if err == nil && c.unread[chat].id <= item.ReadUpTo {
		delete(c.unread, chat)
	}
}

func (c *chat) receipts(items []schemas.ReceiptItem) {
	for _, item := range items {
		if item.UserID == c.client.Welcome().UserID { // read on another device
			c.readElsewhere(item)
			continue
		}
		c.delivered(func(s sentLine) bool { return item.Chat == participant(s.to) && s.id <= item.DeliveredUpTo })
		if item.ReadUpTo != "" {
			c.markRead(item.Chat, item.ReadUpTo)
		}
	}
}
