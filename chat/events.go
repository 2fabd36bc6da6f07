package chat

import (
	"context"
	"errors"

	"roost/client"
	"roost/schemas"
)

// event shows an event of the client.
func (s *session) event(ctx context.Context, ev client.Event) {
	switch ev := ev.(type) {
	case client.Connected:
		if s.online {
			s.screen.line("Connected again.")
		}
		s.connection = connection{online: true}
	case client.Disconnected:
		s.lost = true
		s.screen.line("The connection is lost%s. You can go on typing.", clean(closeReason(ev.Err)))
	case client.Message:
		s.message(ev)
	case client.MessageUpdate:
		s.updated(ev)
	case client.GroupUpdate:
		s.groups.updated(ev)
	case client.ChatUpdate:
		s.chatUpdated(ev)
	case client.UserDeleted:
		s.screen.line("[%s] * %s deleted the account. It gets no more messages.", clock(ev.Timestamp), s.view.user(ev.UserID))
	case client.Delivered:
		s.marks.delivered(ev.MessageID)
	case client.Read:
		if ev.UserID != s.me {
			s.marks.read(chatOf(ev), ev.MessageID)
		}
	case client.Receipts:
		s.receipts(ev.Items)
	case client.Presence:
		s.presence.changed(ev)
	case client.Typing:
		s.typing.show(ev)
	case client.WakeUp:
		s.channels.wake(ctx, ev)
	case client.ServerError:
		if ev.Err.Code == schemas.CodeUnknownReceiver || ev.Err.Code == schemas.CodeNotAMember {
			return // the answer to a typing notice; the message itself will be refused
		}
		s.screen.line("The server says: %s", clean(ev.Err.Message))
	}
}

// message shows a message and acknowledges it.
func (s *session) message(m client.Message) {
	if m.Expired(schemas.Now()) {
		s.acknowledge(m)
		return
	}
	s.typing.stopped(m.SenderID, m.GroupID)
	state := s.messages.add(m.Message)
	s.screen.line("[%s] %s%s: %s", clock(m.Timestamp), s.view.sender(m), s.view.about(m.ReplyTo), s.view.text(state))
	s.acknowledge(m)
	if m.SenderID != s.me && s.screen.err == nil {
		s.open.shown(s.messages.chatOf(&m.Message), readMark{m.MessageID, m.SenderID})
	}
}

// updated shows an update and acknowledges it.
func (s *session) updated(u client.MessageUpdate) {
	if !u.Expired(schemas.Now()) {
		s.screen.line("[%s] %s", clock(u.Timestamp), s.view.update(u))
		s.messages.apply(u.Message.Message)
	}
	s.acknowledge(u.Message)
}

// acknowledge acknowledges a message that is on the screen: this device stores no other
// copy.
func (s *session) acknowledge(m client.Message) {
	if s.screen.err != nil {
		return
	}
	if err := m.Ack(); err != nil && !errors.Is(err, client.ErrClosed) {
		s.screen.line("This message may be redelivered: %v", err)
	}
}

// chatUpdated shows that the messages of a 1:1 chat disappear after another time.
func (s *session) chatUpdated(u client.ChatUpdate) {
	other := u.UserID
	if other == s.me {
		other = u.ByUserID
	}
	s.chats.timers[schemas.Participant{User: other}] = u.DisappearingDays
	s.screen.line("[%s] * %s chose: messages with %s %s", clock(u.Timestamp), s.view.user(u.ByUserID), s.view.user(u.UserID), disappearing(u.DisappearingDays))
}

// receipts shows what happened while this device was offline.
func (s *session) receipts(items []schemas.ReceiptItem) {
	for _, item := range items {
		if item.UserID == s.me {
			s.open.readElsewhere(item)
		} else {
			s.marks.receipt(item)
		}
	}
}

// chatOf returns the chat in which a message of this user was read, as
// [schemas.ReceiptItem] names it.
func chatOf(r client.Read) string {
	if r.GroupID != "" {
		return string(r.GroupID)
	}
	return string(r.UserID)
}

// answered shows the outcome of a message.
func (s *session) answered(r result) {
	var unknown *client.UnknownOutcomeError
	switch {
	case errors.As(r.err, &unknown):
		s.screen.line("? %s: %v", clean(s.view.outgoing(r.outgoing)), r.err)
	case r.err != nil:
		s.screen.line("✗ %s: not sent: %v", clean(s.view.outgoing(r.outgoing)), explain(r.err))
	default:
		s.accepted(r)
	}
}

// accepted keeps a message that the server accepted, and shows its marks.
func (s *session) accepted(r result) {
	sent := sentMessage{to: r.to, text: s.view.outgoing(r.outgoing), id: r.sent.MessageID}
	m := schemas.Message{MessageID: sent.id, SenderID: s.me, ReceiverID: r.to.User, GroupID: r.to.Group,
		Content: r.text, Timestamp: r.sent.Timestamp, ReplyTo: r.replyTo, Change: r.change, TargetMessageID: r.target, ExpiresAt: r.sent.ExpiresAt}
	if m.IsUpdate() {
		s.messages.apply(m)
	} else {
		s.messages.add(m)
	}
	s.marks.accepted(sent)
}
