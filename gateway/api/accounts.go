package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"roost/gateway/auth"
	"roost/gateway/limit"
	"roost/gateway/origin"
	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
)

// Accounts hashes and checks the passwords of built-in accounts, and issues their tokens.
type Accounts interface {
	// Hash and Check fail with [schemas.CodeUnavailable] if too many passwords wait.
	Hash(ctx context.Context, password string) (string, error)
	Check(ctx context.Context, password, hash string) (bool, error)
	Issue(u schemas.UserID) (schemas.Token, error)
	// Refused counts the requests that were refused because too many passwords waited.
	Refused() int64
}

var _ Accounts = (*auth.Accounts)(nil)

// accounts serves POST /accounts, POST /sessions and DELETE /account.
type accounts struct {
	logins    *logins
	streams   *streams.Conn
	directory *directory.Directory
	gate      *auth.Gate
	reserve   time.Duration // of the name of a deleted account
}

// logins checks names and passwords, as often as an address may try.
type logins struct {
	passwords Accounts // nil with an external issuer
	directory *directory.Directory
	attempts  *limit.Addresses
	proxies   origin.Proxies
}

// create is POST /accounts.
func (a *accounts) create(r *http.Request) (int, any, error) {
	c, err := a.logins.credentials(r)
	if err != nil {
		return 0, nil, err
	}
	key, err := idempotencyKey(r)
	if err != nil {
		return 0, nil, err
	}
	hash, err := a.logins.passwords.Hash(r.Context(), c.Password)
	if err != nil {
		return 0, nil, err
	}
	account := schemas.Account{UserID: c.UserID, PasswordHash: hash, CreatedAt: schemas.Now()}
	if key != "" {
		account.KeyHash = schemas.AccountKey(key)
	}
	err = a.directory.CreateAccount(r.Context(), account)
	if errors.Is(err, directory.ErrExists) {
		made, ok, err := a.madeBefore(r.Context(), c, key)
		if err != nil {
			return 0, nil, err
		}
		if ok {
			return http.StatusCreated, made, nil
		}
		return 0, nil, schemas.Errorf(schemas.CodeConflict, "user_id: %q is taken; choose another.", c.UserID)
	}
	if err != nil {
		return 0, nil, schemas.Unavailable(err)
	}
	return http.StatusCreated, schemas.AccountCreated{UserID: account.UserID, CreatedAt: account.CreatedAt}, nil
}

// madeBefore returns the account that an earlier request with the same Idempotency-Key and
// password created. A client that knows both is its owner.
func (a *accounts) madeBefore(ctx context.Context, c schemas.Credentials, key string) (made schemas.AccountCreated, ok bool, err error) {
	account, ok, err := a.directory.Account(ctx, c.UserID)
	if err != nil {
		return made, false, schemas.Unavailable(err)
	}
	if !ok || !account.CreatedWith(key, schemas.Now()) {
		return made, false, nil
	}
	if right, err := a.logins.passwords.Check(ctx, c.Password, account.PasswordHash); err != nil || !right {
		return made, false, err
	}
	err = a.directory.EnsureUser(ctx, c.UserID) // completes a creation that stopped after the record
	if errors.Is(err, directory.ErrDeleted) {
		return made, false, nil
	}
	if err != nil {
		return made, false, schemas.Unavailable(err)
	}
	return schemas.AccountCreated{UserID: account.UserID, CreatedAt: account.CreatedAt}, true, nil
}

// login is POST /sessions. It stores nothing and needs no Idempotency-Key: a retry gets another
// token. A wrong name and a wrong password take the same time and get the same answer, also
// if no account can have them.
func (a *accounts) login(r *http.Request) (int, any, error) {
	var c schemas.Login
	if err := a.logins.attempt(r); err != nil {
		return 0, nil, err
	}
	if e := schemas.DecodeBody(r.Body, &c); e != nil {
		return 0, nil, e
	}
	user, err := schemas.ParseAccountName(c.UserID)
	if err != nil {
		user = noAccount
	}
	right, err := a.logins.rightPassword(r.Context(), user, c.Password)
	if err != nil {
		return 0, nil, err
	}
	if !right {
		return 0, nil, wrongPassword()
	}
	// Completes an account whose creation was interrupted.
	err = a.directory.EnsureUser(r.Context(), user)
	if errors.Is(err, directory.ErrDeleted) {
		return 0, nil, wrongPassword()
	}
	if err != nil {
		return 0, nil, auth.Unchecked(err)
	}
	token, err := a.logins.passwords.Issue(user)
	return http.StatusOK, token, err
}

func wrongPassword() error {
	return schemas.Errorf(schemas.CodeUnauthenticated, "The user_id or the password is wrong.")
}

// noAccount replaces a name that no account can have, so that the answer takes as long.
const noAccount = schemas.UserID("no account")

// rightPassword reports whether a password is right. It takes as long for a user without an
// account.
func (l *logins) rightPassword(ctx context.Context, u schemas.UserID, password string) (bool, error) {
	account, ok, err := l.directory.Account(ctx, u)
	if err != nil {
		return false, auth.Unchecked(err)
	}
	hash := account.PasswordHash
	if !ok || hash == "" {
		hash = auth.NoPassword
	}
	right, err := l.passwords.Check(ctx, password, hash)
	return right && ok, err
}

// credentials reads the body of POST /accounts.
func (l *logins) credentials(r *http.Request) (schemas.Credentials, error) {
	var c schemas.Credentials
	if e := l.attempt(r); e != nil {
		return c, e
	}
	if e := schemas.DecodeBody(r.Body, &c); e != nil {
		return c, e
	}
	if e := c.Validate(); e != nil {
		return c, e
	}
	return c, nil
}

// attempt counts an attempt to log in, or returns why the address has to wait.
func (l *logins) attempt(r *http.Request) error {
	if wait := l.attempts.Wait(l.proxies.Client(r).LimitKey()); wait > 0 {
		return &schemas.Error{Code: schemas.CodeRateLimited, RetryAfterMS: max(wait.Milliseconds(), 1),
			Message: "Too many attempts from your address. Try again later."}
	}
	return nil
}
