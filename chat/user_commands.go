package chat

import (
	"context"
	"errors"
	"slices"
	"strings"

	"roost/client"
	"roost/schemas"
)

func peopleCommands() []chatCommand {
	return []chatCommand{
		{"/status", "USER", "whether somebody is online", 1, 1, (*chat).status},
		{"/watch", "[USER ...]", "be told when they come and go; alone: whom", 0, -1, (*chat).watch},
		{"/unwatch", "USER ...", "", 1, -1, (*chat).unwatch},
		{"/block", "USER", "get nothing more from somebody, but in groups", 1, 1, (*chat).block},
		{"/unblock", "USER", "", 1, 1, (*chat).unblock},
		{"/blocks", "", "whom you block", 0, 0, (*chat).blocks},
	}
}

func (c *chat) status(ctx context.Context, args chatArgs) error {
	user, err := schemas.ParseUserID(args.words[0])
	if err != nil {
		return err
	}
	var status schemas.UserStatus
	err = c.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		status, err = api.Status(ctx, user)
		return err
	})
	if err != nil {
		return err
	}
	c.screen.line("%s is %s%s.", clean(string(user)), clean(status.ConnectionState), lastActive(status.LastActiveTime))
	return nil
}

func lastActive(t schemas.Timestamp) string {
	if t == 0 {
		return ""
	}
	return ", last active " + clock(t)
}

func (c *chat) watch(_ context.Context, args chatArgs) error {
	users, err := parseUsers(args.words)
	switch {
	case err != nil:
		return err
	case len(users) > 0:
		list := slices.Clone(c.watched)
		for _, user := range users {
			if !slices.Contains(list, user) {
				list = append(list, user)
			}
		}
		if err := c.client.SubscribePresence(list); err != nil {
			return err
		}
		c.watched = list
		for _, user := range users {
			delete(c.present, user) // the answer is news, whatever it says
		}
	case len(c.watched) == 0:
		c.screen.line("You watch nobody. /watch USER begins.")
	default:
		c.screen.line("You watch %s.", joinUsers(c.watched))
	}
	return nil
}

func (c *chat) unwatch(_ context.Context, args chatArgs) error {
	users, err := parseUsers(args.words)
	if err != nil {
		return err
	}
	list := slices.Clone(c.watched)
	for _, user := range users {
		i := slices.Index(list, user)
		if i < 0 {
			return errors.New("you do not watch " + clean(string(user)) + "; /watch says whom you do")
		}
		list = slices.Delete(list, i, i+1)
	}
	if err := c.client.SubscribePresence(list); err != nil {
		return err
	}
	c.watched = list
	c.screen.line("You do not watch %s any more.", joinUsers(users))
	return nil
}

// presence shows who came or went. Every connection begins with all of them, which
// is no news.
func (c *chat) presence(p client.Presence) {
	if !slices.Contains(c.watched, p.UserID) {
		return // said before the list changed
	}
	before, known := c.present[p.UserID]
	c.present[p.UserID] = p.Online
	if known && before == p.Online {
		return
	}
	if p.Online {
		c.screen.line("%s is online.", clean(string(p.UserID)))
	} else {
		c.screen.line("%s is offline%s.", clean(string(p.UserID)), lastActive(p.LastActiveTime))
	}
}

func (c *chat) block(ctx context.Context, args chatArgs) error {
	return c.changeBlock(ctx, args, (*client.API).Block, "You get nothing more from %s, who is not told. What they write in groups still comes.")
}

func (c *chat) unblock(ctx context.Context, args chatArgs) error {
	return c.changeBlock(ctx, args, (*client.API).Unblock, "You get what %s sends from now on.")
}

func (c *chat) changeBlock(ctx context.Context, args chatArgs, change func(*client.API, context.Context, schemas.UserID) error, done string) error {
	user, err := schemas.ParseUserID(args.words[0])
	if err != nil {
		return err
	}
	err = c.account.call(ctx, func(ctx context.Context, api *client.API) error { return change(api, ctx, user) })
	if err != nil {
		return err
	}
	c.screen.line(done, clean(string(user)))
	return nil
}

func (c *chat) blocks(ctx context.Context, _ chatArgs) error {
	var users []schemas.UserID
	err := c.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		users, err = api.Blocks(ctx)
		return err
	})
	switch {
	case err != nil:
		return err
	case len(users) == 0:
		c.screen.line("You block nobody.")
	default:
		c.screen.line("You block %s.", joinUsers(users))
	}
	return nil
}

func joinUsers(users []schemas.UserID) string {
	names := make([]string, len(users))
	for i, user := range users {
		names[i] = clean(string(user))
	}
	return strings.Join(names, ", ")
}
