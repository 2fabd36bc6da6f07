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
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"roost/schemas"
)

// Authenticator says who a token belongs to.
type Authenticator interface {
	// Authenticate returns whose token it is, or a *schemas.Error with
	// CodeUnauthenticated for a token that is not valid now, here and for this
	// audience. It may be called concurrently.
	Authenticate(ctx context.Context, token string) (Identity, error)
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
	claims, err := t.claims(token)
	if err != nil {
		return Identity{}, unauthenticated(err)
	}
	if claims.Expiry == nil {
		return Identity{}, unauthenticated(errors.New("the token never expires"))
	}
	err = claims.ValidateWithLeeway(jwt.Expected{
		Issuer: builtinIssuer, AnyAudience: jwt.Audience{builtinAudience}, Time: t.now()}, clockLeeway)
	if err != nil {
		return Identity{}, unauthenticated(err)
	}
	var issued time.Time
	if claims.IssuedAt != nil {
		issued = claims.IssuedAt.Time()
	}
	return identity(claims.Subject, issued)
}

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

func unauthenticated(cause error) *schemas.Error {
	e := schemas.Errorf(schemas.CodeUnauthenticated, "token: is not valid here and now. Log in again.")
	e.Cause = cause
	return e
}

// identity is that of a token whose other claims are good; issued is zero where it
// does not say when.
func identity(sub string, issued time.Time) (Identity, error) {
	u, err := schemas.ParseUserID(sub)
	if err != nil {
		return Identity{}, unauthenticated(fmt.Errorf("the subject is no user id: %w", err))
	}
	return Identity{User: u, IssuedAt: max(schemas.TimestampOf(issued), 0)}, nil
}

// Issuer is an external issuer of tokens.
type Issuer struct {
	// JWKS is a file, or an http or https URL, with the issuer's public keys. A
	// URL is read again when a token names a key that is not known.
	JWKS string
	// Issuer and Audience that a token must have.
	Issuer, Audience string
}

// externalAlgorithms are those of RS, ES and EdDSA.
var externalAlgorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// external checks tokens of an Issuer.
type external struct{ verifier *oidc.IDTokenVerifier }

// NewExternal reads the issuer's keys. ctx bounds the life of the key set.
func NewExternal(ctx context.Context, i Issuer) (Authenticator, error) {
	if i.Issuer == "" || i.Audience == "" {
		return nil, errors.New("an external issuer needs --auth-issuer and --auth-audience, so that tokens made for others are refused")
	}
	var keys oidc.KeySet
	if strings.HasPrefix(i.JWKS, "http://") || strings.HasPrefix(i.JWKS, "https://") {
		keys = oidc.NewRemoteKeySet(oidc.ClientContext(ctx, &http.Client{Timeout: 10 * time.Second}), i.JWKS)
	} else {
		static, err := readJWKS(i.JWKS)
		if err != nil {
			return nil, err
		}
		keys = static
	}
	return &external{oidc.NewVerifier(i.Issuer, keys, &oidc.Config{ClientID: i.Audience, SupportedSigningAlgs: externalAlgorithms})}, nil
}

func readJWKS(path string) (*oidc.StaticKeySet, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("failed to read the key set: %w", err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("failed to read the key set %s: %w", path, err)
	}
	keys := &oidc.StaticKeySet{}
	for _, k := range set.Keys {
		if !k.Valid() || !k.IsPublic() {
			return nil, fmt.Errorf("the key set %s has a key %q that is no public key", path, k.KeyID)
		}
		keys.PublicKeys = append(keys.PublicKeys, k.Key)
	}
	if len(keys.PublicKeys) == 0 {
		return nil, fmt.Errorf("the key set %s has no keys", path)
	}
	return keys, nil
}

// Authenticate implements [Authenticator].
func (x *external) Authenticate(ctx context.Context, token string) (Identity, error) {
	verified, err := x.verifier.Verify(ctx, token)
	if err != nil {
		return Identity{}, unauthenticated(err)
	}
	return identity(verified.Subject, verified.IssuedAt)
}
