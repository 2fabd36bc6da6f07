package gateway

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/crypto/argon2"

	"roost/schemas"
	"roost/streams"
)

// Accounts are the built-in ones: names and passwords in bucket ACCOUNTS.
type Accounts struct {
	directory *streams.Directory
	tokens    *Tokens
	hashing   *hashing
}

// NewAccounts keeps accounts in d and signs their tokens with t.
func NewAccounts(d *streams.Directory, t *Tokens) *Accounts {
	return &Accounts{directory: d, tokens: t, hashing: newHashing()}
}

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
	hash, err := s.opts.Accounts.hash(r.Context(), c.Password)
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
	if right, err := s.opts.Accounts.check(ctx, c.Password, account.PasswordHash); err != nil || !right {
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
		return 0, nil, uncheckedUser(err)
	}
	token, err := s.opts.Accounts.tokens.Issue(user)
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
		return false, uncheckedUser(err)
	}
	hash := account.PasswordHash
	if !ok || hash == "" {
		hash = nobodysHash
	}
	right, err := s.opts.Accounts.check(ctx, password, hash)
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
	if wait := s.logins.wait(s.remoteOf(r).limitKey()); wait > 0 {
		return &schemas.Error{Code: schemas.CodeRateLimited, RetryAfterMS: max(wait.Milliseconds(), 1),
			Message: "Too many attempts from your address. Try again later."}
	}
	return nil
}

// Parameters of argon2id: OWASP's second recommendation, 19 MiB and two passes.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32
)

// nobodysHash is what a login without an account is checked against. No password
// fits it.
var nobodysHash = phc(make([]byte, argonSalt), make([]byte, argonKey))

func phc(salt, key []byte) string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, argonMemory, argonTime, argonThreads, enc.EncodeToString(salt), enc.EncodeToString(key))
}

// hash makes the PHC string of a password.
func (a *Accounts) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never fails since Go 1.24
	if err := a.hashing.enter(ctx); err != nil {
		return "", err
	}
	defer a.hashing.leave()
	return phc(salt, argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)), nil
}

// check says whether the password fits the PHC string, by its own parameters.
func (a *Accounts) check(ctx context.Context, password, hash string) (bool, error) {
	var version int
	var memory, passes uint32
	var threads uint8
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, fmt.Errorf("a stored password hash is not argon2id")
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &threads); err != nil || version != argon2.Version {
		return false, fmt.Errorf("a stored password hash has unknown parameters")
	}
	salt, errSalt := base64.RawStdEncoding.DecodeString(parts[4])
	want, errKey := base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(errSalt, errKey); err != nil || len(want) == 0 {
		return false, fmt.Errorf("a stored password hash cannot be read")
	}
	if err := a.hashing.enter(ctx); err != nil {
		return false, err
	}
	defer a.hashing.leave()
	have := argon2.IDKey([]byte(password), salt, passes, memory, threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(have, want) == 1, nil
}
