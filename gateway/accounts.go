package gateway

import (
	"context"
	"errors"
	"net/http"

	"roost/gateway/auth"
	"roost/schemas"
	"roost/streams"
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

// createAccount is POST /accounts.
func (s *Server) createAccount(r *http.Request) (int, any, error) {
	c, err := s.credentials(r)
	if err != nil {
		return 0, nil, err
	}
	key, err := idempotencyKey(r)
	if err != nil {
		return 0, nil, err
	}
	hash, err := s.opts.Accounts.Hash(r.Context(), c.Password)
	if err != nil {
		return 0, nil, err
	}
	account := schemas.Account{UserID: c.UserID, PasswordHash: hash, CreatedAt: schemas.Now()}
	if key != "" {
		account.KeyHash = schemas.AccountKey(key)
	}
	err = s.directory.CreateAccount(r.Context(), account)
	if errors.Is(err, streams.ErrExists) {
		made, ok, err := s.madeBefore(r.Context(), c, key)
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

// madeBefore is the account that a request with the same Idempotency-Key and password
// made. Who knows both is its owner.
func (s *Server) madeBefore(ctx context.Context, c schemas.Credentials, key string) (made schemas.AccountCreated, ok bool, err error) {
	account, ok, err := s.directory.Account(ctx, c.UserID)
	if err != nil {
		return made, false, schemas.Unavailable(err)
	}
	if !ok || !account.MadeWith(key, schemas.Now()) {
		return made, false, nil
	}
	if right, err := s.opts.Accounts.Check(ctx, c.Password, account.PasswordHash); err != nil || !right {
		return made, false, err
	}
	err = s.directory.EnsureUser(ctx, c.UserID) // completes an account that was written and no more
	if errors.Is(err, streams.ErrDeleted) {
		return made, false, nil
	}
	if err != nil {
		return made, false, schemas.Unavailable(err)
	}
	return schemas.AccountCreated{UserID: account.UserID, CreatedAt: account.CreatedAt}, true, nil
}

// createSession is POST /sessions. It stores nothing, and needs no Idempotency-Key: a
// retry gets another token. A wrong name and a wrong password, also one that
// no account can have, take the same time and get the same answer.
func (s *Server) createSession(r *http.Request) (int, any, error) {
	var c schemas.Login
	if err := s.attempt(r); err != nil {
		return 0, nil, err
	}
	if e := schemas.DecodeBody(r.Body, &c); e != nil {
		return 0, nil, e
	}
	user, err := schemas.ParseAccountName(c.UserID)
	if err != nil {
		user = noAccount
	}
	right, err := s.rightPassword(r.Context(), user, c.Password)
	if err != nil {
		return 0, nil, err
	}
	if !right {
		return 0, nil, wrongPassword()
	}
	// Mends an account whose creation was cut short.
	err = s.directory.EnsureUser(r.Context(), user)
	if errors.Is(err, streams.ErrDeleted) {
		return 0, nil, wrongPassword()
	}
	if err != nil {
		return 0, nil, auth.Unchecked(err)
	}
	token, err := s.opts.Accounts.Issue(user)
	return http.StatusOK, token, err
}

func wrongPassword() error {
	return schemas.Errorf(schemas.CodeUnauthenticated, "The user_id or the password is wrong.")
}

// noAccount is looked up in place of a name that no account can have, so that the
// answer takes as long.
const noAccount = schemas.UserID("no account")

// rightPassword checks a password. It takes as long for a user without an account.
func (s *Server) rightPassword(ctx context.Context, u schemas.UserID, password string) (bool, error) {
	account, ok, err := s.directory.Account(ctx, u)
	if err != nil {
		return false, auth.Unchecked(err)
	}
	hash := account.PasswordHash
	if !ok || hash == "" {
		hash = auth.NoPassword
	}
	right, err := s.opts.Accounts.Check(ctx, password, hash)
	return right && ok, err
}

func (s *Server) credentials(r *http.Request) (schemas.Credentials, error) {
	var c schemas.Credentials
	if e := s.attempt(r); e != nil {
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

// attempt counts a password that is to be checked, or says why it is not.
func (s *Server) attempt(r *http.Request) error {
	if wait := s.logins.wait(s.origins.Proxies.Client(r).LimitKey()); wait > 0 {
		return &schemas.Error{Code: schemas.CodeRateLimited, RetryAfterMS: max(wait.Milliseconds(), 1),
			Message: "Too many attempts from your address. Try again later."}
	}
	return nil
}
