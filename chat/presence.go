package chat

import (
	"context"
	"errors"
	"slices"

	"roost/client"
	"roost/schemas"
)

// presence shows which users are online. The goroutine of the session owns it.
type presence struct {
	account *account
	client  *client.Client
	screen  *screen
	watched []schemas.UserID
	online  map[schemas.UserID]bool // the last known state of watched users
}

func (p *presence) commands() []command {
	return []command{
		{"/status", "USER", "whether a user is online", 1, 1, p.status},
		{"/watch", "[USER ...]", "show when they connect; alone: list the watched", 0, -1, p.watch},
		{"/unwatch", "USER ...", "stop watching them", 1, -1, p.unwatch},
	}
}

func (p *presence) status(ctx context.Context, args args) error {
	user, err := schemas.ParseUserID(args.words[0])
	if err != nil {
		return err
	}
	var status schemas.UserStatus
	err = p.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		status, err = api.Status(ctx, user)
		return err
	})
	if err != nil {
		return err
	}
	p.screen.line("%s is %s%s.", clean(string(user)), clean(status.ConnectionState), lastActive(status.LastActiveTime))
	return nil
}

func lastActive(t schemas.Timestamp) string {
	if t == 0 {
		return ""
	}
	return ", last active " + clock(t)
}

func (p *presence) watch(_ context.Context, args args) error {
	users, err := parseUsers(args.words)
	switch {
	case err != nil:
		return err
	case len(users) > 0:
		list := slices.Clone(p.watched)
		for _, user := range users {
			if !slices.Contains(list, user) {
				list = append(list, user)
			}
		}
		if err := p.client.SubscribePresence(list); err != nil {
			return err
		}
		p.watched = list
		for _, user := range users {
			delete(p.online, user) // show the answer, whatever it is
		}
	case len(p.watched) == 0:
		p.screen.line("You watch no user. /watch USER starts it.")
	default:
		p.screen.line("You watch %s.", joinUsers(p.watched))
	}
	return nil
}

func (p *presence) unwatch(_ context.Context, args args) error {
	users, err := parseUsers(args.words)
	if err != nil {
		return err
	}
	list := slices.Clone(p.watched)
	for _, user := range users {
		i := slices.Index(list, user)
		if i < 0 {
			return errors.New("you do not watch " + clean(string(user)) + "; /watch lists the users that you watch")
		}
		list = slices.Delete(list, i, i+1)
	}
	if err := p.client.SubscribePresence(list); err != nil {
		return err
	}
	p.watched = list
	p.screen.line("You do not watch %s any more.", joinUsers(users))
	return nil
}

// changed shows that a watched user connected or disconnected. Each connection of this
// device begins with the state of all of them, which is no change.
func (p *presence) changed(ev client.Presence) {
	if !slices.Contains(p.watched, ev.UserID) {
		return // the server sent it before the list changed
	}
	before, known := p.online[ev.UserID]
	p.online[ev.UserID] = ev.Online
	if known && before == ev.Online {
		return
	}
	if ev.Online {
		p.screen.line("%s is online.", clean(string(ev.UserID)))
	} else {
		p.screen.line("%s is offline%s.", clean(string(ev.UserID)), lastActive(ev.LastActiveTime))
	}
}
