package auth

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

const (
	// Issuer and Audience of the tokens of built-in accounts.
	builtinIssuer   = "roost"
	builtinAudience = "roost"
	// TokenLifetime of the tokens of built-in accounts.
	TokenLifetime = 30 * 24 * time.Hour
	secretBytes   = 32
)

// Tokens signs and verifies the tokens of built-in accounts: JWT, HS256.
type Tokens struct {
	signer jose.Signer
	header string // the first part of every token that Issue signs
	secret []byte
	now    func() time.Time
}

// NewTokens returns Tokens that use a secret of at least 32 bytes.
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

// LoadSecret reads the secret file. If there is none, LoadSecret creates one that only its
// owner can read.
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

// Issue signs a token for a user.
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

// Authenticate implements [Authenticator]. It accepts HS256 alone: a token that names
// "none", or any other algorithm, does not parse.
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

// Degraded implements [Authenticator]: verification needs the secret alone.
func (t *Tokens) Degraded() error { return nil }

// claims verifies a token's signature. Every connection needs it, nearly always with a token
// that Issue signed. The header of such a token is known, so one HMAC is enough.
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

// cutLast cuts s at its last dot.
func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
