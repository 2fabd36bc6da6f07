package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"roost/client"
	"roost/schemas"
)

// chatListed is how many messages /messages lists, unless told.
const chatListed = 20

func updateCommands() []chatCommand {
	return []chatCommand{
		{"/messages", "[HOW MANY]", "the last ones here, with the #N that names each", 0, 1, (*chat).messages},
		{"/edit", "[#N] TEXT", "put TEXT in place of your last one, or of #N", 1, -1, (*chat).edit},
		{"/delete", "[#N]", "delete your last one, or #N, for everyone", 0, 1, (*chat).delete},
		{"/react", "[#N] REACTION", "react to the last one of others, or to #N", 1, 2, (*chat).react},
		{"/unreact", "[#N]", "take your last reaction back, or that to #N", 0, 1, (*chat).unreact},
		{"/disappear", "[off|1|7|90]", "after how many days messages here disappear", 0, 1, (*chat).disappear},
	}
}

var errWhichMessage = errors.New("which one? /messages shows the #N of each")

func (c *chat) messages(_ context.Context, args chatArgs) error {
	most := chatListed
	if len(args.words) > 0 {
		n, err := strconv.Atoi(args.words[0])
		if err != nil || n < 1 {
			return errors.New("how many? /messages 50 lists the last 50")
		}
		most = n
	}
	if participant(c.peer) == "" {
		return errors.New("whose? /to NAME comes first")
	}
	var rows []string
	for n, s := range c.here {
		if len(rows) == most {
			break
		}
		rows = append(rows, fmt.Sprintf("#%d %s", n, c.row(s)))
	}
	if len(rows) == 0 {
		return errors.New("you were shown none here; /history shows what is stored")
	}
	for _, row := range slices.Backward(rows) {
		c.screen.line("%s", row)
	}
	return nil
}

// chosen takes the #N off that names a message of the open chat; id is empty where
// there is none.
func (c *chat) chosen(text string) (id schemas.MessageID, rest string, err error) {
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

// newest is the newest message of the open chat that is meant.
func (c *chat) newest(meant func(int, schemas.MessageState) bool) (schemas.MessageID, bool) {
	for n, s := range c.here {
		if meant(n, s) {
			return s.MessageID, true
		}
	}
	return "", false
}

func (c *chat) edit(_ context.Context, args chatArgs) error {
	id, text, err := c.chosen(args.text)
	if err != nil {
		return err
	}
	if text == "" {
		return errors.New("what shall it say? /edit #N TEXT")
	}
	return c.updateMine(schemas.ChangeEdit, id, text)
}

func (c *chat) delete(_ context.Context, args chatArgs) error {
	id, rest, err := c.chosen(args.text)
	if err == nil && rest != "" {
		err = errWhichMessage
	}
	if err != nil {
		return err
	}
	return c.updateMine(schemas.ChangeDelete, id, "")
}

// updateMine changes the message of that id, or the person's last one here. That may
// still be on its way: the sender, behind it, knows its id.
func (c *chat) updateMine(change schemas.MessageChange, id schemas.MessageID, text string) error {
	o := outgoing{text: text, change: change, target: id}
	if id == "" {
		me := c.client.Welcome().UserID
		o.last = true
		o.target, _ = c.newest(func(_ int, s schemas.MessageState) bool { return s.SenderID == me && !s.Deleted })
	}
	return c.hand(o)
}

func (c *chat) react(_ context.Context, args chatArgs) error {
	id, reaction, err := c.chosen(args.text)
	if err != nil {
		return err
	}
	if reaction == "" || len(strings.Fields(reaction)) > 1 {
		return errors.New("it goes like this: /react 👍, or /react #N 👍")
	}
	if id == "" {
		me := c.client.Welcome().UserID
		id, _ = c.newest(func(_ int, s schemas.MessageState) bool { return s.SenderID != me && !s.Deleted })
	}
	return c.updateOne(id, reaction)
}

func (c *chat) unreact(_ context.Context, args chatArgs) error {
	id, rest, err := c.chosen(args.text)
	if err == nil && rest != "" {
		err = errWhichMessage
	}
	if err != nil {
		return err
	}
	if id == "" {
		me := c.client.Welcome().UserID
		mine := func(r schemas.Reaction) bool { return r.UserID == me }
		id, _ = c.newest(func(_ int, s schemas.MessageState) bool { return slices.ContainsFunc(s.Reactions, mine) })
	}
	return c.updateOne(id, "")
}

// updateOne reacts to a message that was found.
func (c *chat) updateOne(id schemas.MessageID, reaction string) error {
	if id == "" && participant(c.peer) != "" {
		return errors.New("you were shown no such message here; /history shows what is stored")
	}
	return c.hand(outgoing{text: reaction, change: schemas.ChangeReaction, target: id})
}

// line is how a line that was typed shows with its mark.
func (c *chat) line(o outgoing) string {
	switch {
	case o.change == schemas.ChangeEdit:
		return "edit: " + o.text
	case o.change == schemas.ChangeDelete:
		return "deletion of " + c.quote(o.target)
	case o.change == schemas.ChangeReaction && o.text == "":
		return "no reaction to " + c.quote(o.target)
	case o.change == schemas.ChangeReaction:
		return o.text + " to " + c.quote(o.target)
	}
	return o.text
}

// updated shows an update, and acknowledges it.
func (c *chat) updated(u client.MessageUpdate) {
	if !u.Expired(schemas.Now()) {
		c.screen.line("[%s] %s", clock(u.Timestamp), c.news(u))
		c.apply(u.Message.Message)
	}
	c.shown(u.Message)
}

// news says what an update did.
func (c *chat) news(u client.MessageUpdate) string {
	by := c.from(u.Message)
	switch {
	case u.Change == schemas.ChangeEdit:
		return by + " edited" + c.about(u.TargetMessageID) + ": " + clean(u.Content)
	case u.Change == schemas.ChangeDelete:
		return by + " deleted a message of " + clock(u.TargetMessageID.Time())
	case u.Change == schemas.ChangeReaction && u.Content == "":
		return by + " took a reaction back, to " + c.quote(u.TargetMessageID)
	case u.Change == schemas.ChangeReaction:
		return by + " reacted " + clean(short(u.Content)) + " to " + c.quote(u.TargetMessageID)
	}
	return by + " changed " + c.quote(u.TargetMessageID) // as a newer server knows
}

func (c *chat) disappear(ctx context.Context, args chatArgs) error {
	if participant(c.peer) == "" {
		return errors.New("where? /to NAME comes first")
	}
	if len(args.words) == 0 {
		if err := c.loadTimer(ctx); err != nil {
			return err
		}
		c.screen.line("Messages here %s.", fate(c.timers[c.peer]))
		return nil
	}
	days, err := parseDays(args.words[0])
	if err != nil {
		return err
	}
	if c.peer.Group != "" {
		return c.groupChange(ctx, schemas.GroupPatch{DisappearingDays: &days})
	}
	return c.account.call(ctx, func(ctx context.Context, api *client.API) error {
		_, err := api.ChangeChatSettings(ctx, c.peer.User, schemas.ChatSettings{DisappearingDays: &days})
		return err
	})
}

// loadTimer learns after how many days messages of the open chat disappear.
func (c *chat) loadTimer(ctx context.Context) error {
	if c.peer.Group != "" {
		_, err := c.loadGroups(ctx)
		return err
	}
	return c.account.call(ctx, func(ctx context.Context, api *client.API) error {
		settings, err := api.ChatSettings(ctx, c.peer.User)
		if err == nil && settings.DisappearingDays != nil {
			c.timers[c.peer] = *settings.DisappearingDays
		}
		return err
	})
}

// chatUpdated shows a change of a chat of two.
func (c *chat) chatUpdated(u client.ChatUpdate) {
	other := u.UserID
	if other == c.client.Welcome().UserID {
		other = u.ByUserID
	}
	c.timers[schemas.Participant{User: other}] = u.DisappearingDays
	c.screen.line("[%s] * %s chose: messages with %s %s", clock(u.Timestamp), c.who(u.ByUserID), c.who(u.UserID), fate(u.DisappearingDays))
}

// fate is what becomes of messages.
func fate(days int) string {
	switch days {
	case 0:
		return "stay"
	case 1:
		return "disappear after 1 day"
	}
	return fmt.Sprintf("disappear after %d days", days)
}

func parseDays(word string) (days int, err error) {
	if word == "off" {
		return 0, nil
	}
	days, err = strconv.Atoi(word)
	if err != nil || days == 0 || !slices.Contains(schemas.DisappearingDays, days) {
		return 0, errors.New("it is off, 1, 7 or 90")
	}
	return days, nil
}
