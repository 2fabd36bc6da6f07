package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// ErrExists means that a user has that name already.
var ErrExists = errors.New("exists already")

// CreateAccount adds a user, or fails with [ErrExists]: also while the name of a deleted
// account is reserved, or its erasure is not finished. If a process dies right after it wrote
// the account, [Directory.EnsureUser] completes it.
func (d *Directory) CreateAccount(ctx context.Context, a schemas.Account) error {
	p, err := d.Fresh(ctx, a.UserID)
	if err != nil {
		return err
	}
	if p.Taken {
		return ErrExists
	}
	// The server treats a record that it cannot read as absent, and would replace it.
	if _, taken, err := d.Account(ctx, a.UserID); err != nil || taken {
		return cmp.Or(err, ErrExists)
	}
	revision, err := d.accounts.Create(ctx, subject.UserKey(a.UserID), schemas.Encode(a))
	if errors.Is(err, jetstream.ErrKeyExists) {
		return ErrExists
	}
	if err != nil {
		return fmt.Errorf("failed to create account: %w", err)
	}
	err = d.EnsureUser(ctx, a.UserID)
	if errors.Is(err, ErrDeleted) { // the previous account was deleted at this moment
		if err := d.accounts.Purge(ctx, subject.UserKey(a.UserID), jetstream.LastRevision(revision)); err != nil {
			return fmt.Errorf("failed to take an account back: %w", err)
		}
		return ErrExists
	}
	return err
}

// Account looks an account up; ok is false if there is none.
func (d *Directory) Account(ctx context.Context, u schemas.UserID) (a schemas.Account, ok bool, err error) {
	a, _, ok, err = jsapi.Get[schemas.Account](ctx, d.accounts, subject.UserKey(u))
	return a, ok, err
}

// EnsureUser adds a user without a device, unless the user exists: a user of an external
// issuer on the first connection. It fails with [ErrDeleted] while the name of a deleted
// account is reserved, or its erasure is not finished.
func (d *Directory) EnsureUser(ctx context.Context, u schemas.UserID) error {
	p, err := d.Registration(ctx, u)
	if err != nil || p.Exists {
		return err
	}
	defer d.Forget(u)
	_, err = jsapi.Update(ctx, d.devices, subject.UserKey(u), func(all schemas.Devices, exists bool) (schemas.Devices, error) {
		switch {
		case exists && !all.Deleted():
			return all, jsapi.ErrUnchanged
		case exists && all.NameTaken(schemas.TimestampOf(d.now())):
			return all, ErrDeleted
		}
		return schemas.Devices{Devices: []schemas.Device{}, Removed: all.Removed, TokensAfter: all.DeletedAt}, nil
	})
	if err != nil {
		return fmt.Errorf("failed to create user: %w", err)
	}
	return nil
}

// Admit is EnsureUser for the owner of a token that was issued at that time. It fails with
// [ErrDeleted] if an account of that name was deleted after the token was issued: the token
// does not belong to the user who has the name now.
func (d *Directory) Admit(ctx context.Context, u schemas.UserID, issued schemas.Timestamp) error {
	p, err := d.Registration(ctx, u)
	if err != nil {
		return err
	}
	if p.TokensAfter > 0 && issued <= p.TokensAfter {
		return ErrDeleted
	}
	if p.Exists {
		return nil
	}
	return d.EnsureUser(ctx, u)
}

// ErrDeleted means that the account was deleted, or the token belongs to a deleted one.
var ErrDeleted = errors.New("the account was deleted")
