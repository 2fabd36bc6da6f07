package auth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"roost/schemas"
)

const jwksURL = "https://id.example.com/jwks.json"

// provider is an identity provider in memory, so that its tests can run under
// synctest.
type provider struct {
	mu      sync.Mutex // guards the rest
	keys    map[string]*ecdsa.PrivateKey
	others  []string // JWKs that stand in the set besides
	fails   error
	body    *string // in place of the set; nil for the set
	status  int
	fetches int
}

func newProvider(kids ...string) *provider {
	p := &provider{keys: make(map[string]*ecdsa.PrivateKey), status: http.StatusOK}
	for _, kid := range kids {
		p.add(kid)
	}
	return p
}

func (p *provider) add(kid string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	p.set(func() { p.keys[kid] = key })
}

func (p *provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *provider) fetched() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches
}

// RoundTrip implements [http.RoundTripper].
func (p *provider) RoundTrip(*http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetches++
	if p.fails != nil {
		return nil, p.fails
	}
	return &http.Response{StatusCode: p.status, Status: strconv.Itoa(p.status), Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(p.jwks()))}, nil
}

func (p *provider) jwks() []byte {
	if p.body != nil {
		return []byte(*p.body)
	}
	all := p.others
	for kid, key := range p.keys {
		one, err := json.Marshal(jose.JSONWebKey{KeyID: kid, Algorithm: "ES256", Use: "sig", Key: key.Public()})
		if err != nil {
			panic(err)
		}
		all = append(all, string(one))
	}
	return []byte(`{"keys":[` + strings.Join(all, ",") + `]}`)
}

// token signs a token that is good for an hour, with the key of that id, or an own
// one where the provider has none.
func (p *provider) token(t testing.TB, kid string, change ...func(*jwt.Claims)) string {
	t.Helper()
	p.mu.Lock()
	key := p.keys[kid]
	p.mu.Unlock()
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	c := jwt.Claims{Issuer: "https://id.example.com", Audience: jwt.Audience{"chat"}, Subject: "alice",
		IssuedAt: jwt.NewNumericDate(time.Now()), Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour))}
	for _, f := range change {
		f(&c)
	}
	token, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (p *provider) open(t testing.TB, cache string, log *bytes.Buffer) *External {
	t.Helper()
	if log == nil {
		log = new(bytes.Buffer)
	}
	x, err := NewExternal(Issuer{JWKS: jwksURL, Issuer: "https://id.example.com", Audience: "chat", Cache: cache, Transport: p,
		Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// wantCode checks a token; the empty code is that it is good.
func wantCode(t testing.TB, x *External, token string, want schemas.Code) *schemas.Error {
	t.Helper()
	_, err := x.Authenticate(context.Background(), token)
	if err == nil {
		if want != "" {
			t.Errorf("the token is good, not %s", want)
		}
		return nil
	}
	e := schemas.AsError(err)
	if e.Code != want {
		t.Errorf("got %v, not %q", err, want)
	}
	return e
}

// A provider that is away says nothing about a token. Keys once fetched stay usable.
func TestProviderIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider("k")
		p.fails = errors.New("connection refused")
		var log bytes.Buffer
		x := p.open(t, "", &log)
		defer x.Close()
		e := wantCode(t, x, p.token(t, "k"), schemas.CodeUnavailable)
		if e.RetryAfterMS <= 0 || strings.Contains(e.Message, "refused") {
			t.Errorf("got %+v", e)
		}
		synctest.Wait()
		if err := x.Degraded(); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("degraded: %v, without the cause", err)
		}
		if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "connection refused") {
			t.Errorf("no warning names the cause: %s", log.String())
		}
		wantCode(t, x, p.token(t, "k", func(c *jwt.Claims) { c.Audience = jwt.Audience{"shop"} }), schemas.CodeUnauthenticated) // whoever signed it

		p.set(func() { p.fails = nil }) // and the retry finds it without any token
		time.Sleep(fetchEvery)
		synctest.Wait()
		if err := x.Degraded(); err != nil {
			t.Errorf("degraded: %v", err)
		}
		wantCode(t, x, p.token(t, "k"), "")

		p.set(func() { p.status = http.StatusInternalServerError })
		time.Sleep(2 * renewEvery)
		synctest.Wait()
		if err := x.Degraded(); err == nil || !strings.Contains(err.Error(), "500") {
			t.Errorf("degraded: %v", err)
		}
		wantCode(t, x, p.token(t, "k"), "")
		wantCode(t, x, p.token(t, "new"), schemas.CodeUnavailable)
		if n := strings.Count(log.String(), "cannot be fetched"); n > 3+int(renewEvery/warnEvery) {
			t.Errorf("%d warnings", n)
		}
	})
}

// A fetch that a token began and that failed is tried again as soon as one of the renewal.
func TestFailedFetchOfATokenIsRetriedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider("k")
		x := p.open(t, "", nil)
		defer x.Close()
		synctest.Wait()
		time.Sleep(2 * fetchEvery)
		p.set(func() { p.fails = errors.New("connection refused") })
		wantCode(t, x, p.token(t, "new"), schemas.CodeUnavailable)
		if x.Degraded() == nil {
			t.Error("not degraded")
		}
		p.set(func() { p.fails = nil })
		time.Sleep(fetchEvery)
		synctest.Wait()
		if err := x.Degraded(); err != nil {
			t.Errorf("the provider is back, but: %v", err)
		}
	})
}

// A set without usable keys is a failure of the provider, and not the end of the keys.
func TestProviderAnswersNonsense(t *testing.T) {
	for name, body := range map[string]string{"no keys": `{"keys":[]}`, "HTML": "<html>", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProvider("k")
				x := p.open(t, "", nil)
				defer x.Close()
				good := p.token(t, "k", func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(24 * time.Hour)) })
				wantCode(t, x, good, "")
				p.set(func() { p.body = &body })
				time.Sleep(2 * renewEvery)
				synctest.Wait()
				wantCode(t, x, good, "")
				if x.Degraded() == nil {
					t.Error("not degraded")
				}
			})
		})
	}
}

// Strangers do not decide how often keys are fetched.
func TestRandomKeyIDsFetchSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider("k")
		x := p.open(t, "", nil)
		defer x.Close()
		wantCode(t, x, p.token(t, "k"), "")
		time.Sleep(fetchEvery)
		began, before := time.Now(), p.fetched()
		old := func(c *jwt.Claims) { c.IssuedAt = jwt.NewNumericDate(began.Add(-time.Minute)) }
		for i := range 200 {
			wantCode(t, x, p.token(t, "stranger"+strconv.Itoa(i), old), schemas.CodeUnauthenticated)
			wantCode(t, x, p.token(t, "k"), "")
			time.Sleep(100 * time.Millisecond)
		}
		most := int(time.Since(began)/(5*time.Second)) + 1
		if n := p.fetched() - before; n < 1 || n > most {
			t.Errorf("%d fetches in %v, not 1 to %d", n, time.Since(began), most)
		}
	})
}

// A key that the provider begins to use is fetched when a token names it; while that
// is too soon nobody is told that the token is wrong.
func TestNewKeyIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider("old")
		x := p.open(t, "", nil)
		defer x.Close()
		time.Sleep(fetchEvery)
		wantCode(t, x, p.token(t, "stranger"), schemas.CodeUnauthenticated) // has fetched now
		time.Sleep(2 * time.Second)
		p.add("new")
		e := wantCode(t, x, p.token(t, "new"), schemas.CodeUnavailable)
		time.Sleep(time.Duration(e.RetryAfterMS) * time.Millisecond)
		wantCode(t, x, p.token(t, "new"), "")
		p.set(func() { delete(p.keys, "old") })
		time.Sleep(renewEvery + fetchEvery)
		synctest.Wait()
		wantCode(t, x, p.token(t, "old"), schemas.CodeUnauthenticated)
	})
}

// The last keys outlive the process.
func TestKeysSurviveARestart(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "auth-keys.json")
	synctest.Test(t, func(t *testing.T) {
		p := newProvider("k")
		x := p.open(t, cache, nil)
		wantCode(t, x, p.token(t, "k"), "")
		x.Close()
		if info, err := os.Stat(cache); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", info, err)
		}
		p.fails = errors.New("connection refused")
		x = p.open(t, cache, nil)
		wantCode(t, x, p.token(t, "k"), "")
		wantCode(t, x, p.token(t, "new"), schemas.CodeUnavailable)
		if x.Degraded() == nil {
			t.Error("not degraded")
		}
		x.Close()
		data, err := os.ReadFile(cache)
		if err != nil {
			t.Fatal(err)
		}
		if others, err := os.ReadDir(filepath.Dir(cache)); err != nil || len(others) != 1 {
			t.Errorf("%d files in the directory, not one: %v", len(others), err)
		}
		for name, spoil := range map[string]func(*External){
			"damaged": func(*External) { mustWrite(t, cache, data[:len(data)/2], 0o600) },
			"of another": func(*External) {
				mustWrite(t, cache, bytes.ReplaceAll(data, []byte("id.example"), []byte("xx.example")), 0o600)
			},
			"written by others": func(*External) { mustWrite(t, cache, data, 0o622) },
		} {
			spoil(x)
			x := p.open(t, cache, nil)
			if wantCode(t, x, p.token(t, "k"), schemas.CodeUnavailable) == nil {
				t.Errorf("%s: used", name)
			}
			x.Close()
		}
		p.fails = nil // a cache that cannot be used is no reason not to start
		x = p.open(t, cache, nil)
		wantCode(t, x, p.token(t, "k"), "")
		x.Close()
	})
}

func mustWrite(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// RFC 7517, section 5: what is not understood is ignored.
func TestUnknownKeyTypesAreIgnored(t *testing.T) {
	strange := []string{
		`{"kty":"PQ","kid":"a","x":"AQ"}`, `{"kty":"OKP","crv":"X25519","kid":"b","x":"AQ"}`, `{"kty":"EC","crv":"secp256k1","kid":"c","x":"AQ","y":"AQ"}`,
		`{"kty":"RSA","kid":"d"}`, `{"kid":"e"}`, `7`, `{"kty":"EC","crv":"P-256","kid":"f","x":"AQ","y":"AQ"}`,
	}
	synctest.Test(t, func(t *testing.T) {
		p := newProvider("k")
		p.others = strange
		file := filepath.Join(t.TempDir(), "jwks.json")
		mustWrite(t, file, p.jwks(), 0o600)
		p.others = append(p.others, `{"kty":"oct","kid":"g","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}`) // of which a file warns by not starting
		var log bytes.Buffer
		fetched := p.open(t, "", &log)
		defer fetched.Close()
		read, err := NewExternal(Issuer{JWKS: file, Issuer: "https://id.example.com", Audience: "chat"})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []*External{fetched, read} {
			wantCode(t, x, p.token(t, "k"), "")
			time.Sleep(time.Minute)
			wantCode(t, x, p.token(t, "g", func(c *jwt.Claims) { c.IssuedAt = nil }), schemas.CodeUnauthenticated)
		}
		synctest.Wait()
		if !strings.Contains(log.String(), "ignored=8") {
			t.Errorf("the log does not say how many keys are ignored: %s", log.String())
		}
	})
}
