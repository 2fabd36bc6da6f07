package chat

import (
	"context"
	"errors"
	"time"

	"roost/client"
	"roost/schemas"
)

// Times of typing, as the protocol has them.
const (
	typingEvery = 3 * time.Second
	typingLasts = 5 * time.Second
)

// typing is who types, here and elsewhere.
type typing struct {
	said   map[schemas.Participant]time.Time // when it was last told that this person types there
	others map[client.Typing]time.Time       // until when somebody is taken to type
	over   *time.Timer                       // fires when the row about it is out of date
}

func newTyping() typing {
	t := typing{make(map[schemas.Participant]time.Time), make(map[client.Typing]time.Time), time.NewTimer(0)}
	t.over.Stop()
	return t
}

// notice is a frame that nobody answers.
type notice struct {
	to   schemas.Participant
	read readMark // empty: the person types
}

// readMark is the newest message that the person has read in a chat.
type readMark struct {
	id     schemas.MessageID
	sender schemas.UserID
}

// notify hands notices to the connection, which may be away for a while.
func (c *chat) notify(ctx context.Context) {
	for {
		select {
		case n := <-c.notices:
			c.notifyOne(ctx, n)
		case <-ctx.Done():
			return
		}
	}
}

func (c *chat) notifyOne(ctx context.Context, n notice) {
	ctx, cancel := context.WithTimeout(ctx, chatCallTime)
	defer cancel()
	if n.read.id == "" {
		_ = c.client.SendTyping(ctx, n.to) // worth nothing a moment later
	} else {
		_ = c.client.MarkRead(ctx, n.to.Group, n.read.sender, n.read.id) // the next one covers it
	}
}

func (c *chat) tell(n notice) {
	select {
	case c.notices <- n:
	default:
	}
}

// happened shows an event.
func (c *chat) happened(ev client.Event) {
	switch ev := ev.(type) {
	case client.Connected:
		if c.online {
			c.screen.line("Connected again.")
		}
		c.online, c.away = true, false
	case client.Disconnected:
		c.away = true
		c.screen.line("The connection is lost%s. You can go on typing.", clean(lost(ev.Err)))
	case client.Message:
		c.message(ev)
	case client.MessageUpdate:
		c.updated(ev)
	case client.GroupUpdate:
		c.groupUpdated(ev)
	case client.ChatUpdate:
		c.chatUpdated(ev)
	case client.UserDeleted:
		c.screen.line("[%s] * %s deleted the account. Nobody gets what you write there.", clock(ev.Timestamp), c.who(ev.UserID))
	case client.Delivered:
		c.markDelivered(ev.MessageID)
	case client.Read:
		if ev.UserID != c.client.Welcome().UserID {
			c.markRead(chatOf(ev), ev.MessageID)
		}
	case client.Receipts:
		c.receipts(ev.Items)
	case client.Presence:
		c.presence(ev)
	case client.Typing:
		c.types(ev)
	case client.ServerError:
		if ev.Err.Code == schemas.CodeUnknownReceiver || ev.Err.Code == schemas.CodeNotAMember {
			return // of a typing notice; the message itself will be refused
		}
		c.screen.line("The server says: %s", clean(ev.Err.Message))
	}
}

// message shows a message and acknowledges it: on this device, shown is stored.
func (c *chat) message(m client.Message) {
	if m.Expired(schemas.Now()) {
		c.shown(m)
		return
	}
	delete(c.typing.others, client.Typing{Typing: schemas.Typing{UserID: m.SenderID, GroupID: m.GroupID}})
	state := c.know(m.Message)
	c.screen.line("[%s] %s%s: %s", clock(m.Timestamp), c.from(m), c.about(m.ReplyTo), c.text(state))
	c.shown(m)
	if m.SenderID == c.client.Welcome().UserID || c.screen.err != nil {
		return
	}
	chat, mark := c.chatWith(&m.Message), readMark{m.MessageID, m.SenderID}
	if chat == c.peer {
		c.read(chat, mark)
	} else if m.MessageID > c.unread[chat].id {
		c.unread[chat] = mark
	}
}

// from is who sent a message, and where.
func (c *chat) from(m client.Message) string {
	from, chat := c.who(m.SenderID), c.chatWith(&m.Message)
	switch {
	case chat.Group != "":
		from += " in " + c.name(chat)
	case m.SenderID == c.client.Welcome().UserID:
		from += " to " + c.name(chat) // from another device
	}
	return from
}

// shown acknowledges what is on the screen.
func (c *chat) shown(m client.Message) {
	if c.screen.err != nil {
		return
	}
	if err := m.Ack(); err != nil && !errors.Is(err, client.ErrClosed) {
		c.screen.line("This message may come again: %v", err)
	}
}

// read says up to where the person has read a chat. Where there is no terminal
// nobody is known to read.
func (c *chat) read(chat schemas.Participant, mark readMark) {
	delete(c.unread, chat)
	if c.screen.term != nil {
		c.tell(notice{chat, mark})
	}
}

// chatOf is the chat in which a message of this person was read, as
// [schemas.ReceiptItem] names it.
func chatOf(r client.Read) string {
	if r.GroupID != "" {
		return string(r.GroupID)
	}
	return string(r.UserID)
}

// types shows that somebody types, once until they stop.
func (c *chat) types(t client.Typing) {
	now := time.Now()
	for other, until := range c.typing.others {
		if now.After(until) {
			delete(c.typing.others, other)
		}
	}
	_, shown := c.typing.others[t]
	c.typing.others[t] = now.Add(typingLasts)
	c.typing.over.Reset(typingLasts)
	if shown {
		return
	}
	text := clean(string(t.UserID)) + " is typing"
	if t.GroupID != "" {
		text += " in " + c.name(schemas.Participant{Group: t.GroupID})
	}
	c.screen.pass(text + " ...")
}

// typingHere tells the one who is written to that the person types.
func (c *chat) typingHere() {
	now := time.Now()
	for chat, at := range c.typing.said {
		if now.Sub(at) >= typingEvery {
			delete(c.typing.said, chat)
		}
	}
	if _, lately := c.typing.said[c.peer]; lately || participant(c.peer) == "" {
		return
	}
	c.typing.said[c.peer] = now
	c.tell(notice{to: c.peer})
}

func participant(p schemas.Participant) string { return string(p.User) + string(p.Group) }
