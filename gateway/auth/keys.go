package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/prometheus/client_golang/prometheus"

	"roost/schemas"
)

const (
	// fetchEvery is the least time between two fetches of the keys, whatever tokens
	// strangers send.
	fetchEvery = 5 * time.Second
	// renewEvery is the time after which keys are fetched again even if no token needs it,
	// so that keys that the provider withdrew become invalid.
	renewEvery = 10 * time.Minute
	// retryMost bounds the doubled pause after fetches that failed, and warnEvery is
	// the least time between two warnings about them.
	retryMost = time.Minute
	warnEvery = time.Minute
	// fetchTimeout is shorter than the timeout of a hello, so that the hello gets the cause.
	fetchTimeout = 4 * time.Second
	maxKeySet    = 1 << 20 // bytes of a fetched set
)

// ErrProviderDown is in the chain of the error for a token that cannot be verified because
// its issuer's keys cannot be fetched. The key set itself logs a warning.
var ErrProviderDown = errors.New("the keys of the issuer are not available")

// keySet holds the public keys of an issuer. Keys of a file never change. Keys of a URL stay
// in use until newer ones are fetched, also while the provider is down.
//
// With a URL, one goroutine renews the keys, and each fetch has a goroutine of its own, one
// at a time. close ends them and waits.
type keySet struct {
	// Static.
	url    string // empty for a file
	cache  string // path, or empty
	client *http.Client
	log    *slog.Logger
	counts *prometheus.CounterVec // by outcome; nil without a registry
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	broke  chan struct{} // size 1; a fetch failed after a success, so renew retries sooner. If it is full, renew will see it anyway

	mu       sync.Mutex // guards the rest
	keys     []jose.JSONWebKey
	fetched  time.Time     // when the fetch of keys began; zero if none were fetched
	tried    time.Time     // when the last fetch began
	failed   error         // of the last fetch
	retry    time.Duration // pause after it, if it failed
	ignored  int           // keys of the last set that cannot be used
	since    time.Time     // of the first failure after a success
	warned   time.Time     // of the last warning
	fetching chan struct{} // closed when the fetch in progress ends; nil if there is none
	closed   bool
}

// openKeySet reads a file, or begins to fetch a URL.
func openKeySet(i Issuer) (*keySet, error) {
	k := &keySet{log: i.Log, broke: make(chan struct{}, 1)}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	if !isURL(i.JWKS) {
		read, err := readKeyFile(i.JWKS)
		if err != nil {
			return nil, err
		}
		k.keys = read.usable
		k.noteIgnored(read.ignored)
		return k, nil
	}
	if _, err := url.Parse(i.JWKS); err != nil {
		return nil, fmt.Errorf("--auth-jwks is not a URL: %w", err)
	}
	k.url, k.cache = i.JWKS, i.Cache
	transport := i.Transport
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.DisableKeepAlives = true // one request in minutes
		transport = own
	}
	k.client = &http.Client{Timeout: fetchTimeout, Transport: transport}
	if i.Registry != nil {
		k.counts = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "roost_gateway_key_fetches_total",
			Help: "Fetches of the identity provider's keys, by outcome."}, []string{"outcome"})
		i.Registry.MustRegister(k.counts)
	}
	if k.cache != "" {
		var err error
		if k.keys, k.fetched, err = loadKeyCache(k.cache, k.url); err != nil {
			k.log.Warn("the identity provider's keys of the last run cannot be used; they are fetched again", "error", err)
		}
	}
	k.wg.Go(k.renew)
	return k, nil
}

func (k *keySet) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.cancel()
	k.wg.Wait()
}

// verify verifies a token's signature. If the key is not known, verify fetches the keys
// again. It refuses the token if the keys are newer than the token. If the keys cannot be
// fetched, the token may be valid, and the answer is unavailable.
func (k *keySet) verify(ctx context.Context, token *jwt.JSONWebToken, issued *jwt.NumericDate) error {
	k.mu.Lock()
	keys := k.keys
	k.mu.Unlock()
	if fits(keys, token) == nil {
		return nil
	}
	keys, err := k.newer(ctx, issued)
	if err != nil {
		k.mu.Lock()
		keys = k.keys // a fetch may have ended meanwhile
		k.mu.Unlock()
		if fits(keys, token) == nil {
			return nil
		}
		return err
	}
	return fits(keys, token)
}

// fits checks a token's signature with the keys that it may be signed with.
func fits(keys []jose.JSONWebKey, token *jwt.JSONWebToken) error {
	header, known := token.Headers[0], false
	for _, key := range keys {
		if header.KeyID != "" && key.KeyID != "" && header.KeyID != key.KeyID {
			continue
		}
		if key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		known = true
		if token.Claims(key.Key) == nil {
			return nil
		}
	}
	if !known {
		return unauthenticated(refusedKey, "The issuer's keys have no key %s for %s.", clip(header.KeyID), clip(header.Algorithm))
	}
	return unauthenticated(refusedSignature, "The token's signature does not fit the issuer's key %s.", clip(header.KeyID))
}

// newer returns keys that are newer than a token. It fetches them. If the last fetch was too
// recent, it returns the known keys if they were fetched after the token was issued, and
// fails otherwise.
func (k *keySet) newer(ctx context.Context, issued *jwt.NumericDate) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	if k.url == "" {
		defer k.mu.Unlock()
		return k.keys, nil
	}
	now := time.Now()
	if wait := k.tried.Add(fetchEvery).Sub(now); k.fetching == nil && wait > 0 {
		defer k.mu.Unlock()
		// A NumericDate has no fractions of a second.
		if k.failed == nil && issued != nil && !issued.Time().Add(time.Second).After(k.fetched) {
			return k.keys, nil
		}
		return nil, k.down(wait)
	}
	done := k.fetch(now)
	k.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		return nil, providerDown(ctx.Err(), fetchEvery)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed != nil {
		return nil, k.down(fetchEvery)
	}
	return k.keys, nil
}

// down returns the answer to a token that cannot be verified. The caller holds k.mu.
func (k *keySet) down(retry time.Duration) error {
	cause := k.failed
	if cause == nil {
		cause = errors.New("the keys were fetched a moment ago, and the token is newer")
	}
	return providerDown(cause, retry)
}

func providerDown(cause error, retry time.Duration) error {
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: max(retry.Milliseconds(), 1000),
		Message: "Your token cannot be verified now, because the identity provider's keys are not available. Keep the token and try again.",
		Cause:   fmt.Errorf("%w: %w", ErrProviderDown, cause)}
}

// degraded returns why new keys cannot be fetched, or nil.
func (k *keySet) degraded() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.url == "" || k.failed == nil && len(k.keys) > 0:
		return nil
	case len(k.keys) > 0:
		return fmt.Errorf("the identity provider's keys cannot be fetched since %s; those fetched at %s stay in use: %w",
			utc(k.since), utc(k.fetched), k.failed)
	case k.failed != nil:
		return fmt.Errorf("the identity provider's keys cannot be fetched since %s, and there are none from before, so no token can be verified: %w",
			utc(k.since), k.failed)
	}
	return errors.New("the identity provider's keys have not been fetched yet")
}

// renew fetches keys at once, then every renewEvery, and sooner after a failure. It returns
// when the set is closed.
func (k *keySet) renew() {
	for k.ctx.Err() == nil {
		k.mu.Lock()
		pause := renewEvery
		if k.failed != nil {
			pause = k.retry
		}
		wait := time.Until(k.tried.Add(pause))
		if wait <= 0 {
			done := k.fetch(time.Now())
			k.mu.Unlock()
			<-done
			continue
		}
		k.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-k.broke: // the fetch for a token failed
			timer.Stop()
		case <-k.ctx.Done():
			timer.Stop()
		}
	}
}

// fetch begins a fetch unless one is in progress. It returns a channel that is closed when
// the fetch ends. The caller holds k.mu.
func (k *keySet) fetch(now time.Time) <-chan struct{} {
	if k.fetching != nil {
		return k.fetching
	}
	done := make(chan struct{})
	if k.closed {
		k.failed = context.Canceled
		close(done)
		return done
	}
	k.fetching, k.tried = done, now
	k.wg.Go(func() {
		parsed, err := k.download()
		outcome := k.record(parsed, err, now)
		close(done)
		k.report(parsed, err, outcome, now)
	})
	return done
}

// fetchOutcome is what a fetch changed.
type fetchOutcome struct {
	recovered, warns, ignoresMore bool
	known                         int
}

// record stores the result of a fetch.
func (k *keySet) record(parsed parsedKeys, err error, began time.Time) (o fetchOutcome) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fetching = nil
	if err != nil {
		if k.failed == nil {
			k.since, k.warned, k.retry = began, time.Time{}, fetchEvery
			select {
			case k.broke <- struct{}{}:
			default:
			}
		} else {
			k.retry = min(2*k.retry, retryMost)
		}
		if k.failed = err; time.Since(k.warned) >= warnEvery {
			k.warned, o.warns = time.Now(), true
		}
		o.known = len(k.keys)
		return o
	}
	o.recovered, o.ignoresMore, o.known = k.failed != nil, parsed.ignored > k.ignored, len(parsed.usable)
	k.keys, k.ignored, k.fetched, k.failed = parsed.usable, parsed.ignored, began, nil
	return o
}

// report counts and logs the result of a fetch, and saves its keys.
func (k *keySet) report(parsed parsedKeys, err error, o fetchOutcome, began time.Time) {
	label := "ok"
	if err != nil {
		label = "failed"
	}
	if k.counts != nil {
		k.counts.WithLabelValues(label).Inc()
	}
	if err != nil {
		if o.warns && k.ctx.Err() == nil {
			k.log.Warn("the identity provider's keys cannot be fetched; tokens with unknown keys are answered with unavailable until then",
				"error", err, "known_keys", o.known)
		}
		return
	}
	if o.recovered {
		k.log.Info("the identity provider's keys can be fetched again", "known_keys", o.known)
	}
	if o.ignoresMore {
		k.noteIgnored(parsed.ignored)
	}
	if k.cache == "" {
		return
	}
	if err := saveKeyCache(k.cache, keyCache{URL: k.url, Fetched: began.UTC(), Keys: parsed.usable}); err != nil {
		k.log.Warn("the identity provider's keys cannot be saved for the next start", "file", k.cache, "error", err)
	}
}

func (k *keySet) noteIgnored(n int) {
	if n > 0 {
		k.log.Warn("some keys of the issuer's set are ignored: their type is unknown, or they are not public keys for signatures", "ignored", n)
	}
}

// download fetches and parses the set.
func (k *keySet) download() (parsedKeys, error) {
	req, err := http.NewRequestWithContext(k.ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return parsedKeys{}, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := k.client.Do(req)
	if err != nil {
		return parsedKeys{}, err // it names the URL without its password
	}
	defer resp.Body.Close()
	where := req.URL.Redacted()
	if resp.StatusCode != http.StatusOK {
		return parsedKeys{}, fmt.Errorf("%s answered %s", where, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return parsedKeys{}, fmt.Errorf("failed to read the answer of %s: %w", where, err)
	}
	if len(data) > maxKeySet {
		return parsedKeys{}, fmt.Errorf("the answer of %s is larger than %d bytes", where, maxKeySet)
	}
	parsed, err := parseKeys(data)
	if err != nil {
		return parsed, fmt.Errorf("the answer of %s cannot be used: %w", where, err)
	}
	return parsed, nil
}
