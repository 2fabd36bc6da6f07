package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/prometheus/client_golang/prometheus"
)

// Issuer is an external issuer of tokens.
type Issuer struct {
	// JWKS is a file, or an http or https URL, with the issuer's public keys. A
	// URL is fetched every ten minutes, and when a token names an unknown key.
	// Required.
	JWKS string
	// Issuer and Audience that a token must have. Required.
	Issuer, Audience string
	// Cache is the file that keeps the last keys of a URL, so that a restart does
	// not need the identity provider. Default: none; the process forgets the keys.
	Cache string
	// Transport fetches the URL. Default: a copy of http.DefaultTransport.
	Transport http.RoundTripper
	// Registry gets the metrics. Default: none.
	Registry prometheus.Registerer
	// Log gets warnings about an identity provider that is down. Default slog.Default().
	Log *slog.Logger
}

// externalAlgorithms are the accepted algorithms of external issuers: RS, ES and EdDSA.
var externalAlgorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// External verifies the tokens of an [Issuer].
type External struct {
	issuer, audience string
	keys             *keySet
	now              func() time.Time
}

var _ Authenticator = (*External)(nil)

// NewExternal reads the issuer's keys from a file, or begins to fetch them from a URL. It
// does not wait for the identity provider, which may be down. Close ends the fetching.
func NewExternal(i Issuer) (*External, error) {
	if i.Issuer == "" || i.Audience == "" {
		return nil, errors.New("an external issuer needs --auth-issuer and --auth-audience, so that tokens for other services are refused")
	}
	if i.Log == nil {
		i.Log = slog.Default()
	}
	keys, err := openKeySet(i)
	if err != nil {
		return nil, err
	}
	return &External{issuer: i.Issuer, audience: i.Audience, keys: keys, now: time.Now}, nil
}

// Close ends the fetching of keys and waits until it ended.
func (x *External) Close() { x.keys.close() }

// Degraded implements [Authenticator].
func (x *External) Degraded() error { return x.keys.degraded() }

// Authenticate implements [Authenticator]. It checks the claims before the signature, so that
// a token for another service causes no fetch of keys.
func (x *External) Authenticate(ctx context.Context, token string) (Identity, error) {
	if token == "" {
		return Identity{}, noToken()
	}
	signed, err := jwt.ParseSigned(token, externalAlgorithms)
	if err != nil {
		return Identity{}, unreadable(err)
	}
	var claims jwt.Claims
	if err := signed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return Identity{}, unreadable(err)
	}
	if err := checkClaims(&claims, x.issuer, x.audience, x.now()); err != nil {
		return Identity{}, err
	}
	id, err := identity(&claims)
	if err != nil {
		return Identity{}, err
	}
	return id, x.keys.verify(ctx, signed, claims.IssuedAt)
}

// isURL tells a key set to fetch from one in a file.
func isURL(jwks string) bool {
	return strings.HasPrefix(jwks, "http://") || strings.HasPrefix(jwks, "https://")
}
