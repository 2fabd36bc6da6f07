package chat

import (
	"context"

	"roost/client"
	"roost/schemas"
)

// chats are the names of groups, and after how many days messages of a chat disappear, as
// far as this device knows them. The goroutine of the session owns it.
type chats struct {
	account *account
	names   map[schemas.GroupID]string
	timers  map[schemas.Participant]int // in days; 0: messages stay
}

func newChats(a *account) *chats {
	return &chats{account: a, names: make(map[schemas.GroupID]string), timers: make(map[schemas.Participant]int)}
}

// loadGroups reads the user's groups from the server.
func (c *chats) loadGroups(ctx context.Context) (groups []schemas.GroupSummary, err error) {
	err = c.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		groups, err = api.Groups(ctx)
		return err
	})
	for _, g := range groups {
		c.setGroup(g.GroupID, g.GroupName, g.DisappearingDays)
	}
	return groups, err
}

func (c *chats) setGroup(group schemas.GroupID, name string, days int) {
	c.names[group], c.timers[schemas.Participant{Group: group}] = name, days
}

// loadTimer reads from the server after how many days messages of a chat disappear.
func (c *chats) loadTimer(ctx context.Context, chat schemas.Participant) error {
	if chat.Group != "" {
		_, err := c.loadGroups(ctx)
		return err
	}
	return c.account.call(ctx, func(ctx context.Context, api *client.API) error {
		settings, err := api.ChatSettings(ctx, chat.User)
		if err == nil && settings.DisappearingDays != nil {
			c.timers[chat] = *settings.DisappearingDays
		}
		return err
	})
}
