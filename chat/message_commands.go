package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"roost/schemas"
)

// defaultListed is how many messages /messages lists by default.
const defaultListed = 20

var (
	errWhichMessage = errors.New("name one message; /messages shows the #N of each")
	errNoMessage    = errors.New("there is no such message here; /history shows the stored ones")
)

// messageCommands reply to, edit, delete and react to messages of the open chat.
type messageCommands struct {
	screen   *screen
	view     *view
	messages *messages
	open     *openChat
}

func (c *messageCommands) commands() []command {
	return []command{
		{"/messages", "[COUNT]", "the last ones here, with the #N that names each", 0, 1, c.list},
		{"/reply", "N TEXT", "reply to others; 1 is their newest, or #N", 2, -1, c.reply},
		{"/edit", "[#N] TEXT", "replace your last one, or #N, by TEXT", 1, -1, c.edit},
		{"/delete", "[#N]", "delete your last one, or #N, for everyone", 0, 1, c.delete},
		{"/react", "[#N] REACTION", "react to the last one of others, or to #N", 1, 2, c.react},
		{"/unreact", "[#N]", "take your last reaction back, or that to #N", 0, 1, c.unreact},
	}
}

func (c *messageCommands) list(_ context.Context, args args) error {
	most := defaultListed
	if len(args.words) > 0 {
		n, err := strconv.Atoi(args.words[0])
		if err != nil || n < 1 {
			return errors.New("COUNT is a number: /messages 50 lists the last 50")
		}
		most = n
	}
	if err := c.open.check(); err != nil {
		return err
	}
	var rows []string
	for n, s := range c.messages.in(c.open.peer) {
		if len(rows) == most {
			break
		}
		rows = append(rows, fmt.Sprintf("#%d %s", n, c.view.row(s)))
	}
	if len(rows) == 0 {
		return errors.New("no message was shown here; /history shows the stored ones")
	}
	for _, row := range slices.Backward(rows) {
		c.screen.line("%s", row)
	}
	return nil
}

// choose takes the #N off a text that begins with one, and returns the message of the open
// chat with that number; else id is empty.
func (c *messageCommands) choose(text string) (id schemas.MessageID, rest string, err error) {
	word, rest := cutWord(text)
	digits, named := strings.CutPrefix(word, "#")
	number, err := strconv.Atoi(digits)
	if !named || err != nil {
		return "", text, nil
	}
	id, ok := c.newest(func(n int, _ schemas.MessageState) bool { return n == number })
	if !ok {
		return "", "", fmt.Errorf("there is no #%d here; /messages shows the #N of each", number)
	}
	return id, rest, nil
}

// chooseOnly is choose for a text that has nothing but the #N.
func (c *messageCommands) chooseOnly(text string) (schemas.MessageID, error) {
	id, rest, err := c.choose(text)
	if err == nil && rest != "" {
		err = errWhichMessage
	}
	return id, err
}

// newest returns the newest message of the open chat that matches.
func (c *messageCommands) newest(match func(int, schemas.MessageState) bool) (schemas.MessageID, bool) {
	return c.messages.newest(c.open.peer, match)
}

func (c *messageCommands) reply(_ context.Context, args args) error {
	id, text, err := c.choose(args.text)
	switch {
	case err != nil:
		return err
	case id != "":
		return c.open.say(text, id)
	}
	_, text = cutWord(args.text)
	n, err := strconv.Atoi(args.words[0])
	if err != nil || n < 1 {
		return errors.New("give a number: 1 is the newest message of others here, 2 the message before it")
	}
	id, ok := c.newest(func(_ int, s schemas.MessageState) bool {
		if s.SenderID != c.view.me {
			n--
		}
		return n == 0
	})
	if !ok {
		return errNoMessage
	}
	return c.open.say(text, id)
}

func (c *messageCommands) edit(_ context.Context, args args) error {
	id, text, err := c.choose(args.text)
	if err != nil {
		return err
	}
	if text == "" {
		return errors.New("the new text is missing: /edit #N TEXT")
	}
	return c.updateOwn(schemas.ChangeEdit, id, text)
}

func (c *messageCommands) delete(_ context.Context, args args) error {
	id, err := c.chooseOnly(args.text)
	if err != nil {
		return err
	}
	return c.updateOwn(schemas.ChangeDelete, id, "")
}

// updateOwn changes a message of this user, by default the last one here. That may still
// have no id: the sender, which sends in order, will know it.
func (c *messageCommands) updateOwn(change schemas.MessageChange, id schemas.MessageID, text string) error {
	o := outgoing{text: text, change: change, target: id}
	if id == "" {
		o.last = true
		o.target, _ = c.newest(func(_ int, s schemas.MessageState) bool { return s.SenderID == c.view.me && !s.Deleted })
	}
	return c.open.send(o)
}

func (c *messageCommands) react(_ context.Context, args args) error {
	id, reaction, err := c.choose(args.text)
	if err != nil {
		return err
	}
	if reaction == "" || len(strings.Fields(reaction)) > 1 {
		return errors.New("usage: /react 👍, or /react #N 👍")
	}
	if id == "" {
		id, _ = c.newest(func(_ int, s schemas.MessageState) bool { return s.SenderID != c.view.me && !s.Deleted })
	}
	return c.sendReaction(id, reaction)
}

func (c *messageCommands) unreact(_ context.Context, args args) error {
	id, err := c.chooseOnly(args.text)
	if err != nil {
		return err
	}
	if id == "" {
		own := func(r schemas.Reaction) bool { return r.UserID == c.view.me }
		id, _ = c.newest(func(_ int, s schemas.MessageState) bool { return slices.ContainsFunc(s.Reactions, own) })
	}
	return c.sendReaction(id, "")
}

// sendReaction sends a reaction to a message; an empty one takes it back.
func (c *messageCommands) sendReaction(id schemas.MessageID, reaction string) error {
	if err := c.open.check(); err != nil {
		return err
	}
	if id == "" {
		return errNoMessage
	}
	return c.open.send(outgoing{text: reaction, change: schemas.ChangeReaction, target: id})
}
