package chat

import (
	"context"
	"fmt"
	"time"

	"roost/client"
	"roost/schemas"
)

// deletionTimeout bounds the deletion of an account.
const deletionTimeout = time.Minute

// deletion deletes the user's account.
type deletion struct {
	account *account
	screen  *screen
	me      schemas.UserID
	done    bool
}

func (d *deletion) commands() []command {
	return []command{{"/delete-account", "[YOUR NAME]", "explain it; with your name, do it", 0, -1, d.delete}}
}

func (d *deletion) delete(ctx context.Context, args args) error {
	me := clean(string(d.me))
	if len(args.words) == 0 {
		d.screen.line("This deletes your account, devices, settings, history and undelivered messages for good.")
		d.screen.line("/delete-account %s does it.", me)
		return nil
	}
	if args.text != string(d.me) {
		return fmt.Errorf("you are %s; nothing was deleted", me)
	}
	var deleted schemas.AccountDeleted
	err := d.account.callFor(ctx, deletionTimeout, func(ctx context.Context, api *client.API) (err error) {
		deleted, err = api.DeleteAccount(ctx, d.account.opts.Password)
		return err
	})
	if err != nil {
		return err
	}
	d.done = true
	d.screen.line("The account %s is deleted.", me)
	for _, k := range deleted.Kept {
		d.screen.line("  %s", clean(k.What))
	}
	return errQuit
}
