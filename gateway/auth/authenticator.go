package auth

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"roost/schemas"
)

// Authenticator verifies tokens. Its methods may be called concurrently.
type Authenticator interface {
	// Authenticate returns the identity that a token proves. Its errors are:
	//  1. a *schemas.Error with CodeUnauthenticated: the token is not valid now,
	//     at this server and for this audience;
	//  2. any other error: the token could not be verified, and may be valid.
	Authenticate(ctx context.Context, token string) (Identity, error)
	// Degraded returns why some valid tokens cannot be verified now, or nil.
	Degraded() error
}

// Identity is what a token proves.
type Identity struct {
	User     schemas.UserID
	IssuedAt schemas.Timestamp // of the token, to the second; 0 if the token does not say
}

// clockLeeway is by how much the clocks of the issuer and of this machine may differ.
const clockLeeway = 30 * time.Second

// checkClaims checks all claims of a token except its subject.
func checkClaims(c *jwt.Claims, issuer, audience string, now time.Time) error {
	if c.Expiry == nil {
		return unauthenticated(refusedEndless, "The token has no expiry.")
	}
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: issuer, AnyAudience: jwt.Audience{audience}, Time: now}, clockLeeway)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return wrongIssuer(c.Issuer, issuer)
	case errors.Is(err, jwt.ErrInvalidAudience):
		return unauthenticated(refusedAudience, "The token is for %s; expected is %q.", clip(strings.Join(c.Audience, " ")), audience)
	case errors.Is(err, jwt.ErrExpired):
		return unauthenticated(refusedExpired, "The token expired at %s; it is %s.", utc(c.Expiry.Time()), utc(now))
	}
	return unauthenticated(refusedEarly, "The token is not valid yet: issued at %s, valid from %s; it is %s. Compare the clocks of the issuer and of this machine.",
		utc(c.IssuedAt.Time()), utc(c.NotBefore.Time()), utc(now))
}

func wrongIssuer(have, want string) error {
	hint := ""
	if strings.TrimRight(have, "/") == strings.TrimRight(want, "/") {
		hint = " They differ only in the slash at the end: set --auth-issuer to the value in the token."
	}
	return unauthenticated(refusedIssuer, "The token is of issuer %s; expected is %q.%s", clip(have), want, hint)
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// identity returns the identity of a token whose other claims are valid.
func identity(c *jwt.Claims) (Identity, error) {
	u, err := schemas.ParseUserID(c.Subject)
	if err != nil {
		return Identity{}, unauthenticated(refusedSubject, "The token's subject %s is not a user id: %v.", clip(c.Subject), err)
	}
	issued := schemas.Timestamp(0)
	if c.IssuedAt != nil {
		issued = max(schemas.TimestampOf(c.IssuedAt.Time()), 0)
	}
	return Identity{User: u, IssuedAt: issued}, nil
}
