package chat

import (
	"context"

	"roost/client"
	"roost/schemas"
)

// blocks has the commands about blocked users.
type blocks struct {
	account *account
	screen  *screen
}

func (b *blocks) commands() []command {
	return []command{
		{"/block", "USER", "refuse messages of a user, except in groups", 1, 1, b.block},
		{"/unblock", "USER", "take that back", 1, 1, b.unblock},
		{"/blocks", "", "the users that you block", 0, 0, b.list},
	}
}

func (b *blocks) block(ctx context.Context, args args) error {
	return b.change(ctx, args, (*client.API).Block, "You block %s, who does not learn of it. Messages in groups still come.")
}

func (b *blocks) unblock(ctx context.Context, args args) error {
	return b.change(ctx, args, (*client.API).Unblock, "You do not block %s any more. It can send you messages again.")
}

func (b *blocks) change(ctx context.Context, args args, request func(*client.API, context.Context, schemas.UserID) error, done string) error {
	user, err := schemas.ParseUserID(args.words[0])
	if err != nil {
		return err
	}
	err = b.account.call(ctx, func(ctx context.Context, api *client.API) error { return request(api, ctx, user) })
	if err != nil {
		return err
	}
	b.screen.line(done, clean(string(user)))
	return nil
}

func (b *blocks) list(ctx context.Context, _ args) error {
	var users []schemas.UserID
	err := b.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		users, err = api.Blocks(ctx)
		return err
	})
	switch {
	case err != nil:
		return err
	case len(users) == 0:
		b.screen.line("You block no user.")
	default:
		b.screen.line("You block %s.", joinUsers(users))
	}
	return nil
}
