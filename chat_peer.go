package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"

	"roost/client"
	"roost/schemas"
)

// chatKnown bounds the messages that can be answered and quoted.
const chatKnown = 1024

// knownMessage is one that was shown, or sent from here.
type knownMessage struct {
	id   schemas.MessageID
	chat schemas.Participant
	mine bool
	text string
}

// historyPage is how far back /history went.
type historyPage struct {
	upTo schemas.Timestamp   // of its oldest message; 0: nothing was shown yet
	seen []schemas.MessageID // of the last page; one of that time may come again
}

func chatCommands() []chatCommand {
	return []chatCommand{
		{"/to", "NAME", "write to a user, or to a group by its id", 1, 1, (*chat).to},
		{"/reply", "N TEXT", "answer what others wrote here; 1 is the newest", 2, -1, (*chat).reply},
		{"/history", "", "the newest messages that are stored", 0, 0, (*chat).history},
		{"/history older", "", "the ones before", 0, 0, (*chat).older},
	}
}

func (c *chat) to(_ context.Context, args chatArgs) error {
	peer, err := schemas.ParseParticipant(args.words[0])
	if err != nil {
		return err
	}
	c.open(peer)
	return nil
}

// open makes peer the one to write to. What waited there unread is read now.
func (c *chat) open(peer schemas.Participant) {
	c.peer, c.page = peer, historyPage{}
	c.screen.line("You write to %s.", c.name(peer))
	c.prompt()
	if mark, ok := c.unread[peer]; ok {
		c.read(peer, mark)
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
	_, text := cutWord(args.text)
	n, err := strconv.Atoi(args.words[0])
	if err != nil || n < 1 {
		return errors.New("which one? 1 is the newest message that others wrote here, 2 the one before")
	}
	for _, m := range slices.Backward(c.known) {
		if m.chat == c.peer && !m.mine {
			if n--; n == 0 {
				return c.say(text, m.id)
			}
		}
	}
	return errors.New("you were not shown so many here; /history shows what is stored")
}

// know remembers a message that is on the screen.
func (c *chat) know(m knownMessage) {
	i, found := slices.BinarySearchFunc(c.known, m, func(a, b knownMessage) int { return cmp.Compare(a.id, b.id) })
	if found {
		return
	}
	c.known = slices.Insert(c.known, i, m)
	c.known = c.known[max(0, len(c.known)-chatKnown):]
}

// about quotes what a message answers.
func (c *chat) about(id schemas.MessageID) string {
	if id == "" {
		return ""
	}
	for _, m := range c.known {
		if m.id == id {
			return " (re: " + clean(short(m.text)) + ")"
		}
	}
	return " (re: an earlier message)"
}

func (c *chat) history(ctx context.Context, _ chatArgs) error {
	c.page = historyPage{}
	return c.showHistory(ctx)
}

func (c *chat) older(ctx context.Context, _ chatArgs) error {
	if c.page.upTo == 0 {
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
		page, err = historyOf(ctx, api, with, c.page.upTo)
		return err
	})
	if err != nil {
		return err
	}
	first := c.page.upTo == 0
	fresh := slices.DeleteFunc(slices.Clone(page), func(m schemas.HistoryMessage) bool { return slices.Contains(c.page.seen, m.MessageID) })
	switch {
	case len(fresh) > 0:
		c.page = historyPage{upTo: fresh[len(fresh)-1].Timestamp}
		for _, m := range page {
			c.page.seen = append(c.page.seen, m.MessageID)
		}
	case !first:
		c.screen.line("Nothing older is stored.")
	case with.Group != "":
		c.screen.line("No history of %s is stored. /group history on stores what comes from now on.", c.name(with))
	default:
		c.screen.line("No history with %s is stored. /set history on stores what comes from now on.", c.name(with))
	}
	me := c.client.Welcome().UserID
	for _, m := range fresh {
		c.know(knownMessage{m.MessageID, with, m.SenderID == me, m.Content})
	}
	for _, m := range slices.Backward(fresh) { // the newest comes first
		c.screen.line("[%s] %s%s: %s", clock(m.Timestamp), clean(string(m.SenderID)), c.about(m.ReplyTo), clean(m.Content))
	}
	return nil
}

// historyOf is what a group keeps for its members; where it keeps nothing, or the
// person is none, what the person keeps of it.
func historyOf(ctx context.Context, api *client.API, with schemas.Participant, upTo schemas.Timestamp) ([]schemas.HistoryMessage, error) {
	if with.Group != "" {
		page, err := api.GroupChat(ctx, with.Group, upTo)
		if !isCode(err, schemas.CodeHistoryOff) && !isCode(err, schemas.CodeNotAMember) {
			return page, err
		}
	}
	return api.History(ctx, with, upTo)
}
