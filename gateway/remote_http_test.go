package gateway_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"roost/gateway"
	"roost/gateway/api"
	"roost/gateway/auth"
	"roost/schemas"
)

// TestLimitsBehindAProxy: behind a trusted proxy each client has limits of its own; any
// other peer cannot choose its address.
func TestLimitsBehindAProxy(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		h := newHouse(t, func(o *gateway.Options) {
			o.Limits = gateway.Limits{LoginsPerSecond: 0.01, ConnectionsPerAddress: 1}
			if trusted {
				o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}
		})
		login := func(client string) int {
			req, err := http.NewRequestWithContext(h.ctx(), "POST", h.http.URL+"/sessions", strings.NewReader(`{"user_id":"alice","password":"long enough"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("X-Forwarded-For", client)
			status, _ := h.do(req)
			return status
		}
		login("203.0.113.1")
		if got := login("203.0.113.1"); got != http.StatusTooManyRequests {
			t.Errorf("trusted %v: the second log-in of an address got %d", trusted, got)
		}
		if got := login("203.0.113.2"); (got == http.StatusTooManyRequests) == trusted {
			t.Errorf("trusted %v: the log-in of another address got %d", trusted, got)
		}
		connect := func(client string) error {
			ws, _, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{"X-Forwarded-For": {client}}})
			if err == nil {
				h.ws = append(h.ws, ws)
			}
			return err
		}
		if err := connect("2001:db8::1"); err != nil {
			t.Error(err)
		}
		if connect("2001:db8::2") == nil {
			t.Errorf("trusted %v: a second connection of a /64 was taken", trusted)
		}
		if err := connect("2001:db8:0:1::1"); (err == nil) != trusted {
			t.Errorf("trusted %v: the connection of another /64: %v", trusted, err)
		}
	}
}

// busyAccounts are accounts that have too many passwords to check while busy is set.
type busyAccounts struct {
	api.Accounts
	busy atomic.Bool
}

func (b *busyAccounts) refused() error {
	return &schemas.Error{Code: schemas.CodeUnavailable, RetryAfterMS: 1000, Cause: auth.ErrBusy}
}

func (b *busyAccounts) Hash(ctx context.Context, password string) (string, error) {
	if b.busy.Load() {
		return "", b.refused()
	}
	return b.Accounts.Hash(ctx, password)
}

func (b *busyAccounts) Check(ctx context.Context, password, hash string) (bool, error) {
	if b.busy.Load() {
		return false, b.refused()
	}
	return b.Accounts.Check(ctx, password, hash)
}

// TestTooManyPasswords: while too many passwords wait, a log-in gets 503 and Retry-After.
// The log does not show it.
func TestTooManyPasswords(t *testing.T) {
	log := new(lockedBuffer)
	accounts := new(busyAccounts)
	h := newHouse(t, func(o *gateway.Options) {
		accounts.Accounts = o.Accounts
		o.Accounts, o.Log = accounts, slog.New(slog.NewTextHandler(log, nil))
	})
	credentials := `{"user_id":"alice","password":"long enough"}`
	if status, _ := h.call("", "POST", "/accounts", credentials); status != http.StatusCreated {
		t.Fatalf("the account got %d", status)
	}
	accounts.busy.Store(true)
	for _, path := range []string{"/accounts", "/sessions"} {
		status, answer := h.call("", "POST", path, credentials)
		if status != http.StatusServiceUnavailable || answer.Error.Code != schemas.CodeUnavailable || answer.Error.RetryAfterMS == 0 {
			t.Errorf("%s got %d %+v", path, status, answer.Error)
		}
	}
	if strings.Contains(log.String(), "a request failed") {
		t.Errorf("the log shows the refusals: %s", log.String())
	}
	accounts.busy.Store(false)
	if status, _ := h.call("", "POST", "/sessions", credentials); status != http.StatusOK {
		t.Errorf("afterwards a log-in got %d", status)
	}
}
