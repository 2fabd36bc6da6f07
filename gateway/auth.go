package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"roost/schemas"
)

// Authenticator checks tokens. Its methods may be called concurrently.
type Authenticator interface {
	// Authenticate returns the identity that a token proves. Its errors are:
	//  1. a *schemas.Error with CodeUnauthenticated: the token is not valid now,
	//     here and for this audience;
	//  2. any other error: the token could not be checked, and may be valid.
	Authenticate(ctx context.Context, token string) (Identity, error)
	// Degraded returns why some valid tokens cannot be checked now, or nil.
	Degraded() error
}

// Identity is what a token says.
type Identity struct {
	User     schemas.UserID
	IssuedAt schemas.Timestamp // of the token, to the second; 0 where it does not say
}

const (
	// Issuer and Audience of the tokens of built-in accounts.
	builtinIssuer   = "roost"
	builtinAudience = "roost"
	// TokenLifetime of the tokens of built-in accounts.
	TokenLifetime = 30 * 24 * time.Hour
	secretBytes   = 32
	clockLeeway   = 30 * time.Second
)

// Tokens signs and checks the tokens of built-in accounts: JWT, HS256.
type Tokens struct {
	signer jose.Signer
	header string // the first part of every token that signer makes
	secret []byte
	now    func() time.Time
}

// NewTokens takes a secret of at least 32 bytes.
func NewTokens(secret []byte) (*Tokens, error) {
	if len(secret) < secretBytes {
		return nil, fmt.Errorf("the token secret has %d bytes; it needs at least %d", len(secret), secretBytes)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("failed to use the token secret: %w", err)
	}
	t := &Tokens{signer: signer, secret: secret, now: time.Now}
	sample, err := t.Issue("nobody")
	if err != nil {
		return nil, err
	}
	t.header, _, _ = strings.Cut(sample.Token, ".")
	return t, nil
}

// LoadSecret reads the secret file, and makes it, readable by its owner alone,
// where there is none.
func LoadSecret(path string) ([]byte, error) {
	secret, err := os.ReadFile(path)
	if err == nil {
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("the token secret %s can be read by others (mode %04o); run chmod 600 on it", path, info.Mode().Perm())
		}
		return secret, err
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("failed to read the token secret: %w", err)
	}
	secret = make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails since Go 1.24
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("failed to write the token secret: %w", err)
	}
	_, err = f.Write(secret)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("failed to write the token secret: %w", err)
	}
	return secret, nil
}

// Issue makes a token for a user.
func (t *Tokens) Issue(u schemas.UserID) (schemas.Token, error) {
	now := t.now()
	expires := now.Add(TokenLifetime)
	token, err := jwt.Signed(t.signer).Claims(jwt.Claims{
		Issuer: builtinIssuer, Audience: jwt.Audience{builtinAudience}, Subject: string(u),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(expires),
	}).Serialize()
	if err != nil {
		return schemas.Token{}, fmt.Errorf("failed to sign a token: %w", err)
	}
	return schemas.Token{Token: token, ExpiresAt: schemas.TimestampOf(expires)}, nil
}

var _ Authenticator = (*Tokens)(nil)

// Authenticate implements [Authenticator]. Only HS256 is tried: a token that
// says "none", or any other algorithm, does not even parse.
func (t *Tokens) Authenticate(_ context.Context, token string) (Identity, error) {
	if token == "" {
		return Identity{}, noToken()
	}
	claims, err := t.claims(token)
	if err != nil {
		return Identity{}, unreadable(err)
	}
	if err := checkClaims(&claims, builtinIssuer, builtinAudience, t.now()); err != nil {
		return Identity{}, err
	}
	return identity(&claims)
}

// Degraded implements [Authenticator]: checking needs the secret alone.
func (t *Tokens) Degraded() error { return nil }

// claims checks a token's signature. Every connection comes this way, nearly
// always with a token that was made here: of those the header is known, and what
// is left to do is one HMAC.
func (t *Tokens) claims(token string) (c jwt.Claims, err error) {
	signed, signature, ok := cutLast(token)
	header, payload, _ := strings.Cut(signed, ".")
	if !ok || header != t.header {
		parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.HS256})
		if err != nil {
			return c, err
		}
		return c, parsed.Claims(t.secret, &c)
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil {
		return c, err
	}
	mac := hmac.New(sha256.New, t.secret)
	_, _ = io.WriteString(mac, signed) // a hash never fails
	if !hmac.Equal(sum, mac.Sum(nil)) {
		return c, jose.ErrCryptoFailure
	}
	body, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(body, &c)
}

// cutLast cuts at the last dot.
func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// checkClaims checks everything that a token claims but its subject.
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
	return unauthenticated(refusedEarly, "The token is of the future: issued at %s, valid from %s; it is %s. Compare the clocks of the issuer and of this machine.",
		utc(c.IssuedAt.Time()), utc(c.NotBefore.Time()), utc(now))
}

func wrongIssuer(have, want string) error {
	hint := ""
	if strings.TrimRight(have, "/") == strings.TrimRight(want, "/") {
		hint = " They differ in the slash at the end alone: set --auth-issuer to what the token says."
	}
	return unauthenticated(refusedIssuer, "The token is of issuer %s; expected is %q.%s", clip(have), want, hint)
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// identity returns the identity of a token whose other claims are good.
func identity(c *jwt.Claims) (Identity, error) {
	u, err := schemas.ParseUserID(c.Subject)
	if err != nil {
		return Identity{}, unauthenticated(refusedSubject, "The token's subject %s is no user id: %v.", clip(c.Subject), err)
	}
	issued := schemas.Timestamp(0)
	if c.IssuedAt != nil {
		issued = max(schemas.TimestampOf(c.IssuedAt.Time()), 0)
	}
	return Identity{User: u, IssuedAt: issued}, nil
}
