package chat

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"roost/client"
	"roost/schemas"
)

func chatCommands() []chatCommand {
	return []chatCommand{
		{"/to", "NAME", "write to a user, or to a group by its id", 1, 1, (*chat).to},
		{"/reply", "N TEXT", "answer others here; 1 is their newest, or #N", 2, -1, (*chat).reply},
		{"/history", "", "the newest messages that are stored", 0, 0, (*chat).history},
		{"/history older", "", "the ones before", 0, 0, (*chat).older},
	}
}

func (c *chat) to(ctx context.Context, args chatArgs) error {
	peer, err := schemas.ParseParticipant(args.words[0])
	if err != nil {
		return err
	}
	c.open(ctx, peer)
	return nil
}

// open makes peer the one to write to. What waited there unread is read now.
func (c *chat) open(ctx context.Context, peer schemas.Participant) {
	c.peer, c.oldest = peer, ""
	c.screen.line("You write to %s.", c.name(peer))
	c.showTimer(ctx)
	c.prompt()
	if mark, ok := c.unread[peer]; ok {
		c.read(peer, mark)
	}
}

// showTimer says that messages of the open chat disappear, if so. Where that cannot be
// asked, those that are sent from here are taken to stay.
func (c *chat) showTimer(ctx context.Context) {
	if _, known := c.timers[c.peer]; !known {
		_ = c.loadTimer(ctx)
	}
	if days := c.timers[c.peer]; days > 0 {
		c.screen.line("Messages here %s.", fate(days))
	}
}

// prompt shows whom a line goes to, where there is a prompt.
func (c *chat) prompt() { c.screen.prompt(c.name(c.peer) + "> ") }

// name is what a chat is called on the screen.
func (c *chat) name(p schemas.Participant) string {
	if name, ok := c.groups[p.Group]; ok {
		return clean(name)
	}
	return clean(participant(p))
}

func (c *chat) reply(_ context.Context, args chatArgs) error {
	id, text, err := c.chosen(args.text)
	switch {
	case err != nil:
		return err
	case id != "":
		return c.say(text, id)
	}
	_, text = cutWord(args.text)
	n, err := strconv.Atoi(args.words[0])
	if err != nil || n < 1 {
		return errors.New("which one? 1 is the newest message that others wrote here, 2 the one before")
	}
	me := c.client.Welcome().UserID
	id, ok := c.newest(func(_ int, s schemas.MessageState) bool {
		if s.SenderID != me {
			n--
		}
		return n == 0
	})
	if !ok {
		return errors.New("you were not shown so many here; /history shows what is stored")
	}
	return c.say(text, id)
}

func (c *chat) history(ctx context.Context, _ chatArgs) error {
	c.oldest = ""
	return c.showHistory(ctx)
}

func (c *chat) older(ctx context.Context, _ chatArgs) error {
	if c.oldest == "" {
		return errors.New("/history comes first")
	}
	return c.showHistory(ctx)
}

// showHistory shows the page that ends where the last one began.
func (c *chat) showHistory(ctx context.Context) error {
	with := c.peer
	if participant(with) == "" {
		return errors.New("whose? /to NAME comes first")
	}
	var page []schemas.HistoryMessage
	err := c.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		page, err = historyOf(ctx, api, with, schemas.PageBounds{Before: c.oldest})
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case len(page) > 0:
		c.oldest = page[len(page)-1].MessageID
	case c.oldest != "":
		c.screen.line("Nothing older is stored.")
	case with.Group != "":
		c.screen.line("No history of %s is stored that you may see. With /group history on, what comes from then on is.", c.name(with))
	default:
		c.screen.line("No history with %s is stored. /set history on stores what comes from now on.", c.name(with))
	}
	c.showPage(page)
	return nil
}

// showPage shows messages of a page that were not there before; the newest comes first.
func (c *chat) showPage(page []schemas.HistoryMessage) {
	states := make([]schemas.MessageState, len(page))
	for i, m := range page {
		states[i] = c.recall(m)
	}
	for _, s := range slices.Backward(states) {
		if !s.Expired(schemas.Now()) {
			c.screen.line("%s", c.row(s))
		}
	}
}

// stored is a message of a page, and what the page says was done to it, as updates
// without an id: any that comes to this device is newer.
func stored(m schemas.HistoryMessage) (schemas.Message, []schemas.Message) {
	update := schemas.Message{SenderID: m.SenderID, TargetMessageID: m.MessageID}
	var done []schemas.Message
	if m.EditedAt > 0 {
		update.Change, update.Content, update.Timestamp = schemas.ChangeEdit, m.Content, m.EditedAt
		done = append(done, update)
	}
	for _, r := range m.Reactions {
		update.Change, update.SenderID, update.Content = schemas.ChangeReaction, r.UserID, r.Reaction
		done = append(done, update)
	}
	if m.Deleted {
		update.Change, update.SenderID, update.Content = schemas.ChangeDelete, m.SenderID, ""
		done = append(done, update)
	}
	return schemas.Message{MessageID: m.MessageID, SenderID: m.SenderID, ReceiverID: m.ReceiverID, GroupID: m.GroupID,
		Content: m.Content, Timestamp: m.Timestamp, ReplyTo: m.ReplyTo, ExpiresAt: m.ExpiresAt}, done
}

// historyOf is what a group keeps for its members; where it keeps nothing, or the
// person is none, what the person keeps of it.
func historyOf(ctx context.Context, api *client.API, with schemas.Participant, bounds schemas.PageBounds) ([]schemas.HistoryMessage, error) {
	if with.Group != "" {
		page, err := api.GroupChat(ctx, with.Group, bounds)
		if !isCode(err, schemas.CodeHistoryOff) && !isCode(err, schemas.CodeNotAMember) {
			return page, err
		}
	}
	return api.History(ctx, with, bounds)
}
