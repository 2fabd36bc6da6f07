package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"roost/schemas"
	"roost/streams/directory"
)

// Users creates and looks up the users that tokens name.
type Users interface {
	// Admit makes sure that a user exists. It returns [directory.ErrDeleted] if the token is
	// older than the deletion of the account of that name.
	Admit(ctx context.Context, u schemas.UserID, issued schemas.Timestamp) error
}

// Gate decides which user a request or a hello is from.
type Gate struct {
	tokens   Authenticator
	users    Users
	refusals *Refusals
}

// NewGate returns a Gate that reports refused tokens to r.
func NewGate(a Authenticator, users Users, r *Refusals) *Gate {
	return &Gate{tokens: a, users: users, refusals: r}
}

// Admit returns the user of a token. The user exists from then on. A token from before the
// deletion of an account is refused, whichever user has the name now.
func (g *Gate) Admit(ctx context.Context, token string) (schemas.UserID, error) {
	id, err := g.Authenticate(ctx, token)
	if err != nil {
		return "", err
	}
	if err := g.users.Admit(ctx, id.User, id.IssuedAt); err != nil {
		return "", g.Refused(err)
	}
	return id.User, nil
}

// Authenticate verifies a token, and counts and logs a refusal. A token that could not be
// verified is unavailable, never unauthenticated.
func (g *Gate) Authenticate(ctx context.Context, token string) (Identity, error) {
	id, err := g.tokens.Authenticate(ctx, token)
	if err == nil {
		return id, nil
	}
	g.refusals.Note(err)
	if known := (*schemas.Error)(nil); errors.As(err, &known) {
		return Identity{}, err
	}
	return Identity{}, Unchecked(err)
}

// Degraded returns why some valid tokens cannot be verified now, or nil.
func (g *Gate) Degraded() error { return g.tokens.Degraded() }

// Refused is the answer if the user of a token could not be looked up or created. It counts
// and logs a token of a deleted account.
func (g *Gate) Refused(err error) error {
	if errors.Is(err, directory.ErrDeleted) {
		refused := unauthenticated(refusedDeleted, "The token is of an account that was deleted.")
		g.refusals.Note(refused)
		return refused
	}
	return Unchecked(err)
}

// Unchecked is the answer if the user of a token could not be looked up: the token may be
// valid.
func Unchecked(err error) error {
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: 1000, Cause: err,
		Message: "Your account cannot be looked up now. Keep the token and try again."}
}

// Bearer is the token of the Authorization header, or empty. A token in the URL is never
// read: URLs end up in logs.
func Bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
