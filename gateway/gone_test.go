package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"roost/gateway"
	"roost/gateway/auth"
	"roost/schemas"
)

// stuck is an authenticator that waits for the end of the request.
type stuck struct{ entered chan struct{} }

func (stuck) Degraded() error { return nil }

func (s stuck) Authenticate(ctx context.Context, _ string) (auth.Identity, error) {
	s.entered <- struct{}{}
	<-ctx.Done()
	return auth.Identity{}, schemas.Unavailable(ctx.Err())
}

// TestClientGoneIsNoError checks that a client that closes its connection leaves no error in the
// log, and is counted.
func TestClientGoneIsNoError(t *testing.T) {
	var log logLines
	auth := stuck{make(chan struct{})}
	h := newHouse(t, func(o *gateway.Options) { o.Auth, o.Log = auth, log.logger() })
	for i, path := range []string{"/devices", "/history/bob", "/export"} {
		ctx, cancel := context.WithCancel(h.ctx())
		req, err := http.NewRequestWithContext(ctx, "GET", h.http.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			resp, err := http.DefaultClient.Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			done <- err
		}()
		<-auth.entered
		cancel()
		if err := <-done; err == nil {
			t.Fatalf("%s: there was an answer", path)
		}
		eventually(t, "the abandoned request is counted", func() bool {
			return counterValue(t, h, "roost_gateway_requests_abandoned_total") == float64(i+1)
		})
	}
	if lines := log.with("level=ERROR"); len(lines) > 0 {
		t.Errorf("it is an error in the log: %v", lines)
	}
	if lines := log.with("level=DEBUG", "went away"); len(lines) != 3 {
		t.Errorf("the log has %v", lines)
	}
}

// TestClientGoneHidesNoError checks that a failure of another kind stays in the log, and that so
// does one of a client that waits.
func TestClientGoneHidesNoError(t *testing.T) {
	var log logLines
	h := newHouse(t, func(o *gateway.Options) { o.Log = log.logger() })
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancelLate()
	<-late.Done()
	for i, c := range []struct {
		ctx context.Context
		err error
	}{{gone, errors.New("the disk is gone")}, {t.Context(), schemas.Unavailable(context.Canceled)}, {late, schemas.Unavailable(context.DeadlineExceeded)}} {
		h.server.Fail(httptest.NewRecorder(), httptest.NewRequestWithContext(c.ctx, "GET", "/devices", nil), c.err)
		if lines := log.with("level=ERROR"); len(lines) != i+1 {
			t.Errorf("%v: the log has %v", c.err, lines)
		}
	}
}

// leaving is the answer to a client that goes away when it sees the header.
type leaving struct {
	*httptest.ResponseRecorder
	leave func()
}

func (l leaving) Header() http.Header {
	l.leave()
	return l.ResponseRecorder.Header()
}

func (leaving) SetWriteDeadline(time.Time) error { return nil }

// TestExportClientGone checks that an export whose client goes away in the middle is no error, and
// does not end as a complete one.
func TestExportClientGone(t *testing.T) {
	var log logLines
	h := newHouse(t, func(o *gateway.Options) { o.Log = log.logger() })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/export", nil)
	r.Header.Set("Authorization", "Bearer "+h.token("alice"))
	headers := 0
	w := leaving{httptest.NewRecorder(), func() {
		if headers++; headers > 1 { // the first is of CORS, before the token is looked at
			cancel()
		}
	}}
	h.server.Handler().ServeHTTP(w, r)
	if lines := log.with("level=ERROR"); len(lines) > 0 {
		t.Errorf("it is an error in the log: %v", lines)
	}
	if n := counterValue(t, h, "roost_gateway_requests_abandoned_total"); n != 1 {
		t.Errorf("%g requests are counted as abandoned", n)
	}
	if w.Body.Len() > 0 {
		t.Errorf("the export says %s", w.Body)
	}
}
