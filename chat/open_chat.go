package chat

import (
	"context"
	"errors"

	"roost/client"
	"roost/schemas"
)

var errNoChat = errors.New("no chat is open; /to NAME opens one")

// openChat is the chat that lines are sent to, and how far the user has read all chats.
// The goroutine of the session owns it.
type openChat struct {
	account  *account
	screen   *screen
	view     *view
	chats    *chats
	sender   *sender
	notifier *notifier

	peer   schemas.Participant              // empty: no chat is open
	oldest schemas.MessageID                // the oldest message that /history showed here; empty: it showed none
	unread map[schemas.Participant]readMark // the newest message that was shown while its chat was not open
}

func (o *openChat) commands() []command {
	return []command{
		{"/to", "NAME", "open the chat with a user, or a group by its id", 1, 1, o.to},
		{"/disappear", "[off|1|7|90]", "after how many days messages here disappear", 0, 1, o.disappear},
	}
}

func (o *openChat) to(ctx context.Context, args args) error {
	peer, err := schemas.ParseParticipant(args.words[0])
	if err != nil {
		return err
	}
	o.switchTo(ctx, peer)
	return nil
}

// switchTo opens another chat. Its unread messages are read now.
func (o *openChat) switchTo(ctx context.Context, peer schemas.Participant) {
	o.peer, o.oldest = peer, ""
	o.screen.line("You write to %s.", o.view.chat(peer))
	o.showTimer(ctx)
	o.prompt()
	if mark, ok := o.unread[peer]; ok {
		o.read(peer, mark)
	}
}

// check returns an error if no chat is open.
func (o *openChat) check() error {
	if id(o.peer) == "" {
		return errNoChat
	}
	return nil
}

// showTimer says whether messages of the open chat disappear. If the server does not
// answer, it says nothing, and messages from here are shown as if they stay.
func (o *openChat) showTimer(ctx context.Context) {
	if _, known := o.chats.timers[o.peer]; !known {
		_ = o.chats.loadTimer(ctx, o.peer)
	}
	if days := o.chats.timers[o.peer]; days > 0 {
		o.screen.line("Messages here %s.", disappearing(days))
	}
}

// prompt shows the name of the open chat in front of the line that the user types.
func (o *openChat) prompt() { o.screen.prompt(o.view.chat(o.peer) + "> ") }

// send queues a message or an update for the open chat.
func (o *openChat) send(out outgoing) error {
	if err := o.check(); err != nil {
		return err
	}
	out.to = o.peer
	o.sender.add(out)
	return nil
}

// say queues a message for the open chat.
func (o *openChat) say(text string, replyTo schemas.MessageID) error {
	return o.send(outgoing{text: text, replyTo: replyTo})
}

// shown marks a message of another user as read if its chat is open, else as unread.
func (o *openChat) shown(chat schemas.Participant, mark readMark) {
	if chat == o.peer {
		o.read(chat, mark)
	} else if mark.id > o.unread[chat].id {
		o.unread[chat] = mark
	}
}

// read reports how far the user has read a chat. Without a terminal it reports nothing,
// because there may be no reader.
func (o *openChat) read(chat schemas.Participant, mark readMark) {
	delete(o.unread, chat)
	if o.screen.term != nil {
		o.notifier.add(notice{chat, mark})
	}
}

// readElsewhere takes note that the user read a chat on another device.
func (o *openChat) readElsewhere(item schemas.ReceiptItem) {
	chat, err := schemas.ParseParticipant(item.Chat)
	if err == nil && o.unread[chat].id <= item.ReadUpTo {
		delete(o.unread, chat)
	}
}

func (o *openChat) disappear(ctx context.Context, args args) error {
	if err := o.check(); err != nil {
		return err
	}
	if len(args.words) == 0 {
		if err := o.chats.loadTimer(ctx, o.peer); err != nil {
			return err
		}
		o.screen.line("Messages here %s.", disappearing(o.chats.timers[o.peer]))
		return nil
	}
	days, err := parseDays(args.words[0])
	if err != nil {
		return err
	}
	return o.account.call(ctx, func(ctx context.Context, api *client.API) error {
		if o.peer.Group != "" {
			_, err := api.ChangeGroup(ctx, o.peer.Group, schemas.GroupPatch{DisappearingDays: &days})
			return err
		}
		_, err := api.ChangeChatSettings(ctx, o.peer.User, schemas.ChatSettings{DisappearingDays: &days})
		return err
	})
}
