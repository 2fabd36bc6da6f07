package gateway_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"roost/gateway"
	"roost/gateway/auth"
	"roost/gateway/auth/authtest"
	"roost/schemas"
)

// lockedBuffer is a log to look at.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// idp is an identity provider over HTTP that can be away.
type idp struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	away atomic.Bool
	url  string
}

func newIDP(t *testing.T) *idp {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{t: t, key: key}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{KeyID: "k", Key: key.Public()}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if p.away.Load() {
			http.Error(w, "maintenance", http.StatusBadGateway)
			return
		}
		_, _ = w.Write(set)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *idp) token(user string, change ...func(*jwt.Claims)) string {
	return authtest.Sign(p.t, jose.ES256, p.key, "k", authtest.Claims(func(c *jwt.Claims) {
		c.Issuer, c.Audience, c.Subject = "https://id.example.com", jwt.Audience{"chat"}, user
		for _, f := range change {
			f(c)
		}
	}))
}

// house is a gateway whose tokens are the provider's.
func (p *idp) house(log *lockedBuffer) *house {
	logger := slog.New(slog.NewTextHandler(log, nil))
	external, err := auth.NewExternal(auth.Issuer{JWKS: p.url, Issuer: "https://id.example.com", Audience: "chat", Log: logger})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(external.Close)
	return newHouse(p.t, func(o *gateway.Options) { o.Auth, o.Accounts, o.Log = external, nil, logger })
}

func TestExternalUserExistsFromTheFirstConnection(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Accounts = nil })
	bob := h.connect("bob")
	bob.say("auth0|Ålice", "too early")
	bob.wantError(schemas.CodeUnknownReceiver)
	token, err := h.tokens.Issue("auth0|Ålice")
	if err != nil {
		t.Fatal(err)
	}
	alice := h.dial()
	alice.hello(&schemas.Hello{Token: token.Token, DeviceName: "phone"})
	accepted := bob.tell("auth0|Ålice", "welcome")
	if m := alice.take(); m.MessageID != accepted.MessageID || m.ReceiverID != "auth0|Ålice" {
		t.Errorf("got %+v", m)
	}
	if r := want[*schemas.Delivered](bob); r.UserID != "auth0|Ålice" {
		t.Errorf("got %+v", r)
	}
}

// A provider that is away is unavailable at every door, and never a reason to log out.
func TestIdentityProviderIsAway(t *testing.T) {
	p, log := newIDP(t), new(lockedBuffer)
	p.away.Store(true)
	h := p.house(log)
	token := p.token("alice")
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/devices", ""}, {"DELETE", "/account", ""}, {"GET", "/export", ""}, {"POST", "/devices", `{"name":"x"}`},
	} {
		status, answer := h.as(token, c.method, c.path, c.body)
		if status != http.StatusServiceUnavailable || answer.Error.Code != schemas.CodeUnavailable || answer.Error.RetryAfterMS == 0 {
			t.Errorf("%s %s got %d %+v", c.method, c.path, status, answer.Error)
		}
	}
	header := http.Header{"Authorization": {"Bearer " + token}}
	_, resp, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", &websocket.DialOptions{HTTPHeader: header})
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the handshake got %v, %v", resp, err)
	}
	d := h.dial()
	d.send(&schemas.Hello{Token: token, DeviceName: "phone"})
	if e := d.wantError(schemas.CodeUnavailable); e.RetryAfterMS == 0 {
		t.Errorf("got %+v", e)
	}
	d.wantClose(schemas.CloseRestarting)
	status, answer := h.call("", "GET", "/readyz", "")
	ready := data[schemas.Readiness](t, answer)
	if status != http.StatusOK || !ready.Ready || !strings.Contains(ready.Degraded["identity"], "502") {
		t.Errorf("readyz got %d %+v, without the cause", status, ready)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "502 Bad Gateway") {
		t.Errorf("no warning names the cause: %s", log.String())
	}
	if strings.Contains(log.String(), "a request failed") {
		t.Errorf("every request is an error in the log: %s", log.String())
	}
	p.away.Store(false)
	eventually(t, "the provider is asked again", func() bool {
		status, _ := h.as(token, "GET", "/devices", "")
		return status == http.StatusOK
	})
	if _, answer := h.call("", "GET", "/readyz", ""); data[schemas.Readiness](t, answer).Degraded["identity"] != "" {
		t.Error("still degraded")
	}
}

// What the gateway cannot look up itself is no refusal of the token either.
func TestAccountCannotBeLookedUp(t *testing.T) {
	h := newHouse(t)
	token := signUp(t, h)
	h.nats.Stop()
	for _, c := range []struct{ token, method, path, body string }{
		{token, "GET", "/devices", ""},
		{token, "GET", "/export", ""},
		{token, "DELETE", "/account", `{"password":"correct horse"}`},
		{"", "POST", "/sessions", credentials},
		{"", "POST", "/sessions", `{"user_id":"nobody","password":"short"}`},
		{"", "POST", "/accounts", `{"user_id":"bob","password":"correct horse"}`},
	} {
		status, answer := h.as(c.token, c.method, c.path, c.body)
		if status != http.StatusServiceUnavailable || answer.Error.Code != schemas.CodeUnavailable || answer.Error.RetryAfterMS == 0 {
			t.Errorf("%s %s got %d %+v", c.method, c.path, status, answer.Error)
		}
	}
	d := h.dial()
	d.send(&schemas.Hello{Token: token, DeviceName: "phone"})
	d.wantError(schemas.CodeUnavailable)
	d.wantClose(schemas.CloseRestarting)
}

// The log says why each token was refused, and never what it is.
func TestRefusedTokensInTheLog(t *testing.T) {
	p, log := newIDP(t), new(lockedBuffer)
	h := p.house(log)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := jwt.Claims{Issuer: "https://id.example.com", Audience: jwt.Audience{"chat"}, Subject: "alice",
		IssuedAt: jwt.NewNumericDate(time.Now().Add(-time.Minute)), Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour))}
	if status, _ := h.as(p.token("alice"), "GET", "/devices", ""); status != http.StatusOK {
		t.Fatalf("a good token got %d", status)
	}
	for _, c := range []struct{ reason, detail, token string }{
		{"issuer", "slash", p.token("alice", func(c *jwt.Claims) { c.Issuer += "/" })},
		{"issuer", "evil.example.com", p.token("alice", func(c *jwt.Claims) { c.Issuer = "https://evil.example.com" })},
		{"audience", "shop", p.token("alice", func(c *jwt.Claims) { c.Audience = jwt.Audience{"shop"} })},
		{"expired", "expired at", p.token("alice", func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Hour)) })},
		{"not_yet_valid", "clocks", p.token("alice", func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(time.Now().Add(time.Hour)) })},
		{"no_expiry", "no expiry", p.token("alice", func(c *jwt.Claims) { c.Expiry = nil })},
		{"subject", "g-x", p.token("g-x")},
		{"algorithm", "HS256", authtest.Sign(t, jose.HS256, secret, "k", good)},
		{"algorithm", "none", authtest.None(t, good)},
		{"unknown_key", "stranger", authtest.Sign(t, jose.ES256, stranger, "stranger", good)},
		{"signature", "\\\"k\\\"", authtest.Sign(t, jose.ES256, stranger, "k", good)},
		{"malformed", "no signed JWT", "not.a.token"},
		{"missing", "no token", ""},
	} {
		before := len(log.String())
		status, answer := h.as(c.token, "GET", "/devices", "")
		if status != http.StatusUnauthorized || answer.Error.Code != schemas.CodeUnauthenticated {
			t.Errorf("%s got %d %+v", c.reason, status, answer.Error)
			continue
		}
		if missing := strings.HasPrefix(answer.Error.Message, "token: is missing"); missing != (c.token == "") {
			t.Errorf("%s was told %q", c.reason, answer.Error.Message)
		}
		line := log.String()[before:]
		if !strings.Contains(line, "level=INFO") || !strings.Contains(line, "reason="+c.reason) || !strings.Contains(line, c.detail) {
			t.Errorf("the log of %s says %q", c.reason, line)
		}
		for _, part := range strings.Split(c.token, ".") {
			if len(part) > 5 && strings.Contains(log.String(), part) {
				t.Errorf("the log of %s repeats the token: %q", c.reason, line)
			}
		}
	}
	before := strings.Count(log.String(), "reason=malformed")
	for range 100 {
		h.as("nonsense", "GET", "/devices", "")
	}
	if lines := strings.Count(log.String(), "reason=malformed") - before; lines > 20 {
		t.Errorf("100 refusals are %d lines of the log", lines)
	}
	text := h.metric("roost_gateway_tokens_refused_total{reason=\"malformed\"}")
	if text != "101" {
		t.Errorf("the metric counts %s", text)
	}
}

// A token that is missing is answered as missing, at every door.
func TestMissingToken(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/devices", "/export"} {
		for _, header := range []string{"", "Bearer", "Bearer ", "Basic YWxpY2U6c2VjcmV0"} {
			req, err := http.NewRequestWithContext(h.ctx(), "GET", h.http.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", header)
			if status, answer := h.do(req); status != http.StatusUnauthorized || !strings.HasPrefix(answer.Error.Message, "token: is missing") {
				t.Errorf("%s with %q got %d %+v", path, header, status, answer.Error)
			}
		}
	}
	if status, answer := h.call("", "DELETE", "/account", `{"password":"x"}`); status != http.StatusUnauthorized || !strings.HasPrefix(answer.Error.Message, "token: is missing") {
		t.Errorf("got %d %+v", status, answer.Error)
	}
	d := h.dial()
	d.send(&schemas.Hello{DeviceName: "phone"})
	if e := d.wantError(schemas.CodeUnauthenticated); !strings.HasPrefix(e.Message, "token: is missing") {
		t.Errorf("got %+v", e)
	}
	d.wantClose(schemas.CloseUnauthenticated)
}

// metric is the value of one line of the metrics; empty where it is not there.
func (h *house) metric(name string) string {
	h.t.Helper()
	resp, err := http.Get(h.http.URL + "/metrics")
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
