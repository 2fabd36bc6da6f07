package auth_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"roost/gateway/auth"
	"roost/gateway/auth/authtest"
	"roost/schemas"
)

var secret = bytes.Repeat([]byte("s"), 32)

func TestBuiltInTokens(t *testing.T) {
	tokens, err := auth.NewTokens(secret)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := authtest.Sign(t, jose.HS256, secret, "", authtest.Claims(nil))
	check(t, tokens, good, "alice")
	for name, token := range map[string]string{
		"empty":            "",
		"nonsense":         "nonsense",
		"alg none":         authtest.None(t, authtest.Claims(nil)),
		"another secret":   authtest.Sign(t, jose.HS256, []byte(strings.Repeat("x", 32)), "", authtest.Claims(nil)),
		"another alg":      authtest.Sign(t, jose.HS512, []byte(strings.Repeat("s", 64)), "", authtest.Claims(nil)),
		"RS256":            authtest.Sign(t, jose.RS256, rsaKey, "", authtest.Claims(nil)),
		"expired":          authtest.Sign(t, jose.HS256, secret, "", authtest.Claims(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Hour)) })),
		"never expires":    authtest.Sign(t, jose.HS256, secret, "", authtest.Claims(func(c *jwt.Claims) { c.Expiry = nil })),
		"not yet":          authtest.Sign(t, jose.HS256, secret, "", authtest.Claims(func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(time.Now().Add(time.Hour)) })),
		"another audience": authtest.Sign(t, jose.HS256, secret, "", authtest.Claims(func(c *jwt.Claims) { c.Audience = jwt.Audience{"shop"} })),
		"another issuer":   authtest.Sign(t, jose.HS256, secret, "", authtest.Claims(func(c *jwt.Claims) { c.Issuer = "shop" })),
		"no subject":       authtest.Sign(t, jose.HS256, secret, "", authtest.Claims(func(c *jwt.Claims) { c.Subject = "" })),
		"a group":          authtest.Sign(t, jose.HS256, secret, "", authtest.Claims(func(c *jwt.Claims) { c.Subject = "g-x" })),
		"changed":          good[:len(good)-2] + "xx",
	} {
		t.Run(name, func(t *testing.T) { check(t, tokens, token, "") })
	}
}

// check expects a token to be of want, or refused where want is empty.
func check(t *testing.T, a auth.Authenticator, token string, want schemas.UserID) {
	t.Helper()
	id, err := a.Authenticate(context.Background(), token)
	u := id.User
	switch {
	case want == "" && (err == nil || schemas.AsError(err).Code != schemas.CodeUnauthenticated):
		t.Errorf("got %q, %v", u, err)
	case want != "" && (err != nil || u != want):
		t.Errorf("got %q, %v, want %q", u, err, want)
	}
	if err != nil && strings.Contains(schemas.AsError(err).Message, token) && token != "" {
		t.Error("the error repeats the token")
	}
}

func TestExternalTokens(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{KeyID: "r", Algorithm: "RS256", Key: rsaKey.Public()},
		{KeyID: "e", Algorithm: "ES256", Key: ecKey.Public()},
		{KeyID: "d", Algorithm: "EdDSA", Key: edKey.Public()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, set, 0o600); err != nil {
		t.Fatal(err)
	}
	url := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }))
	defer url.Close()
	ours := func(change func(*jwt.Claims)) jwt.Claims {
		return authtest.Claims(func(c *jwt.Claims) {
			c.Issuer, c.Audience, c.Subject = "https://id.example.com", jwt.Audience{"chat"}, "auth0|Ålice"
			if change != nil {
				change(c)
			}
		})
	}
	for source, jwks := range map[string]string{"file": file, "url": url.URL} {
		a, err := auth.NewExternal(auth.Issuer{JWKS: jwks, Issuer: "https://id.example.com", Audience: "chat"})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		for name, c := range map[string]struct {
			token string
			want  schemas.UserID
		}{
			"RS256":                {authtest.Sign(t, jose.RS256, rsaKey, "r", ours(nil)), "auth0|Ålice"},
			"ES256":                {authtest.Sign(t, jose.ES256, ecKey, "e", ours(nil)), "auth0|Ålice"},
			"EdDSA":                {authtest.Sign(t, jose.EdDSA, edKey, "d", ours(nil)), "auth0|Ålice"},
			"alg none":             {authtest.None(t, ours(nil)), ""},
			"public key as secret": {authtest.Sign(t, jose.HS256, []byte(strings.Repeat("s", 32)), "r", ours(nil)), ""},
			"another audience":     {authtest.Sign(t, jose.RS256, rsaKey, "r", ours(func(c *jwt.Claims) { c.Audience = jwt.Audience{"shop"} })), ""},
			"another issuer":       {authtest.Sign(t, jose.RS256, rsaKey, "r", ours(func(c *jwt.Claims) { c.Issuer = "https://evil.example.com" })), ""},
			"expired":              {authtest.Sign(t, jose.RS256, rsaKey, "r", ours(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Hour)) })), ""},
			"never expires":        {authtest.Sign(t, jose.RS256, rsaKey, "r", ours(func(c *jwt.Claims) { c.Expiry = nil })), ""},
			"a group":              {authtest.Sign(t, jose.RS256, rsaKey, "r", ours(func(c *jwt.Claims) { c.Subject = "g-x" })), ""},
		} {
			t.Run(source+"/"+name, func(t *testing.T) { check(t, a, c.token, c.want) })
		}
	}
}

func TestKeySetFaults(t *testing.T) {
	dir := t.TempDir()
	private, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{KeyID: "x", Key: secret}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"empty": `{"keys":[]}`, "nonsense": `nonsense`, "a secret": string(private)} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := auth.NewExternal(auth.Issuer{JWKS: path, Issuer: "i", Audience: "a"}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := auth.NewExternal(auth.Issuer{JWKS: "x"}); err == nil {
		t.Error("no issuer and audience: accepted")
	}
}

func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token.key")
	first, err := auth.LoadSecret(path)
	if err != nil || len(first) != 32 {
		t.Fatal(len(first), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := auth.LoadSecret(path)
	if err != nil || string(again) != string(first) {
		t.Errorf("another secret at the second start (%v)", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.LoadSecret(path); err == nil {
		t.Error("a secret that others can read was accepted")
	}
	if _, err := auth.NewTokens([]byte("short")); err == nil {
		t.Error("a short secret was accepted")
	}
}
