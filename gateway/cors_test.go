package gateway_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"roost/gateway"
	"roost/gateway/origin"
)

const pageOrigin = "https://chat.example.com"

// origins reads values of --allowed-origins.
func origins(t testing.TB, values ...string) origin.Allowed {
	t.Helper()
	list, err := origin.ParseAllowed(values)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// logLines is a log that a test reads.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// with returns the lines that have all of the texts.
func (l *logLines) with(texts ...string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.text.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func (l *logLines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func from(origin, method, path string) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Origin", origin)
	return r
}

// TestCORS checks that an allowed origin may use each path, and reads each kind of answer.
func TestCORS(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.AllowedOrigins = origins(t, pageOrigin) })
	for _, row := range protocolTable(t, "## HTTP") {
		method, path, _ := strings.Cut(strings.Trim(strings.SplitN(row[0], ",", 2)[0], "` "), " ")
		path, _, _ = strings.Cut(path, "?")
		r := from(pageOrigin, http.MethodOptions, path)
		r.Header.Set("Access-Control-Request-Method", method)
		r.Header.Set("Access-Control-Request-Headers", "authorization,content-type,idempotency-key")
		w := h.serve(r)
		if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Origin") != pageOrigin ||
			w.Header().Get("Access-Control-Allow-Methods") != method ||
			w.Header().Get("Access-Control-Allow-Headers") != "authorization,content-type,idempotency-key" ||
			w.Header().Get("Access-Control-Max-Age") != "3600" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("the preflight of %s %s got %d %v", method, path, w.Code, w.Header())
		}
	}
	r := from(pageOrigin, http.MethodOptions, "/devices")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "x-other")
	if w := h.serve(r); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a preflight for a header that no path needs got %v", w.Header())
	}
	for _, c := range []struct {
		method, path string
		status       int
	}{{"GET", "/healthz", 200}, {"GET", "/nowhere", 404}, {"PUT", "/healthz", 405}, {"GET", "/devices", 401}, {"POST", "/sessions", 415}, {"GET", "/metrics", 200}} {
		w := h.serve(from(pageOrigin, c.method, c.path))
		exposed := w.Header().Get("Access-Control-Expose-Headers")
		if w.Code != c.status || w.Header().Get("Access-Control-Allow-Origin") != pageOrigin || w.Header().Get("Vary") != "Origin" ||
			!strings.Contains(exposed, "Retry-After") || !strings.Contains(strings.ToLower(exposed), "etag") {
			t.Errorf("%s %s got %d %v", c.method, c.path, w.Code, w.Header())
		}
	}
	r = from(pageOrigin, "GET", "/export")
	r.Header.Set("Authorization", "Bearer "+h.token("alice"))
	if w := h.serve(r); w.Header().Get("Access-Control-Allow-Origin") != pageOrigin {
		t.Errorf("the export got %d %v", w.Code, w.Header())
	}
}

// TestCORSRefused checks that no answer to another origin may be read, and that the answer
// to a request without an origin says no more than before.
func TestCORSRefused(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.AllowedOrigins = origins(t, pageOrigin) })
	two := from(pageOrigin, "GET", "/healthz")
	two.Header.Add("Origin", "https://evil.example.com")
	none := httptest.NewRequest("GET", "/healthz", nil)
	for name, r := range map[string]*http.Request{
		"another origin": from("https://evil.example.com", "GET", "/healthz"), "an opaque one": from("null", "GET", "/healthz"),
		"two origins": two, "no origin": none, "a path": from(pageOrigin+"/x", "GET", "/healthz"), "another port": from(pageOrigin+":8443", "GET", "/healthz"),
	} {
		if w := h.serve(r); w.Code != http.StatusOK || w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("Vary") != "Origin" {
			t.Errorf("%s: got %d %v", name, w.Code, w.Header())
		}
		r.Method = http.MethodOptions
		r.Header.Set("Access-Control-Request-Method", "DELETE")
		if w := h.serve(r); w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: the preflight got %d %v", name, w.Code, w.Header())
		}
	}
}

// TestOwnOrigin covers pages of the server's own origin, which need no setting.
func TestOwnOrigin(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		origin, host string
		tls, allowed bool
	}{
		{"https://chat.example.com", "chat.example.com", false, true}, // a proxy ended TLS
		{"http://chat.example.com", "chat.example.com", false, true},
		{"https://chat.example.com", "chat.example.com:443", false, true},
		{"http://chat.example.com", "chat.example.com:80", false, true},
		{"https://chat.example.com:443", "CHAT.example.com", false, true},
		{"https://chat.example.com:8443", "chat.example.com:8443", false, true},
		{"http://[::1]:8080", "[::1]:8080", false, true},
		{"https://chat.example.com", "chat.example.com", true, true},
		{"https://chat.example.com", "chat.example.com:443", true, true},
		{"http://chat.example.com", "chat.example.com", true, false}, // a page that anybody on the way may have changed
		{"http://chat.example.com", "chat.example.com:443", false, false},
		{"https://chat.example.com", "chat.example.com:80", false, false},
		{"https://chat.example.com:8443", "chat.example.com", false, false},
		{"https://chat.example.com", "chat.example.com:8443", false, false},
		{"https://evil.example.com", "chat.example.com", false, false},
		{"chrome-extension://chat.example.com", "chat.example.com", false, false},
		{"null", "", false, false},
		{"null", "null", false, false},
	} {
		r := from(c.origin, "GET", "/healthz")
		if r.Host = c.host; c.tls {
			r.TLS = new(tls.ConnectionState)
		}
		if w := h.serve(r); (w.Header().Get("Access-Control-Allow-Origin") == c.origin) != c.allowed {
			t.Errorf("%+v got %v", c, w.Header())
		}
	}
}

// TestOwnOriginBehindProxies checks that the origin is the one that the client sees, if a trusted
// proxy says which that is, and that nobody else can say so.
func TestOwnOriginBehindProxies(t *testing.T) {
	const proxy, stranger = "192.0.2.1:1234", "198.51.100.1:1234"
	h := newHouse(t, func(o *gateway.Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	for _, c := range []struct {
		peer, origin string
		header       http.Header
		allowed      bool
	}{
		{proxy, "https://chat.example.com", http.Header{"X-Forwarded-Host": {"chat.example.com"}}, true},
		{proxy, "https://chat.example.com", http.Header{"X-Forwarded-Host": {"chat.example.com"}, "X-Forwarded-Proto": {"https"}}, true},
		{proxy, "https://chat.example.com", http.Header{"X-Forwarded-Host": {"chat.example.com:443"}, "X-Forwarded-Proto": {"https"}}, true},
		{proxy, "https://chat.example.com:8443", http.Header{"X-Forwarded-Host": {"chat.example.com:8443"}}, true},
		{proxy, "https://chat.example.com", http.Header{"Forwarded": {"for=203.0.113.7;host=chat.example.com;proto=https"}}, true},
		{proxy, "https://chat.example.com", http.Header{"X-Forwarded-Host": {"chat.example.com"}, "X-Forwarded-Proto": {"wss"}}, true}, // some proxies say so
		{proxy, "http://chat.example.com", http.Header{"X-Forwarded-Host": {"chat.example.com"}, "X-Forwarded-Proto": {"https"}}, false},
		{proxy, "https://backend:8080", http.Header{"X-Forwarded-Host": {"chat.example.com"}}, false},
		{proxy, "https://backend:8080", nil, true},
		{proxy, "https://chat.example.com", nil, false},
		{stranger, "https://chat.example.com", http.Header{"X-Forwarded-Host": {"chat.example.com"}}, false},
		{stranger, "https://chat.example.com", http.Header{"Forwarded": {"host=chat.example.com"}}, false},
		{stranger, "http://backend:8080", http.Header{"X-Forwarded-Proto": {"https"}}, true},
	} {
		r := from(c.origin, "GET", "/healthz")
		r.Host, r.RemoteAddr = "backend:8080", c.peer
		maps.Copy(r.Header, c.header)
		if w := h.serve(r); (w.Header().Get("Access-Control-Allow-Origin") == c.origin) != c.allowed {
			t.Errorf("%+v got %v", c, w.Header())
		}
	}
}

// TestWebSocketAndCORSAgree asks both about the same origins.
func TestWebSocketAndCORSAgree(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.AllowedOrigins = origins(t, "https://*.example.com") })
	for _, origin := range []string{h.http.URL, "https://a.example.com", "https://example.com", "http://a.example.com",
		"https://a.example.com:443", "https://a.example.com:8443", "null", strings.Replace(h.http.URL, "http:", "https:", 1)} {
		r := from(origin, "GET", "/healthz")
		r.Host = strings.TrimPrefix(h.http.URL, "http://")
		byCORS := h.serve(r).Header().Get("Access-Control-Allow-Origin") == origin
		ws, resp, err := websocket.Dial(h.ctx(), h.http.URL+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}}})
		if err == nil {
			h.ws = append(h.ws, ws)
		} else if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: the handshake got %d", origin, resp.StatusCode)
		}
		if byCORS != (err == nil) {
			t.Errorf("%s: CORS says %v, and the WebSocket %v", origin, byCORS, err)
		}
	}
}

// TestRefusedOriginIsLogged checks that the log has both values, once a second at most, and
// nothing of an origin that is allowed.
func TestRefusedOriginIsLogged(t *testing.T) {
	var log logLines
	h := newHouse(t, func(o *gateway.Options) { o.AllowedOrigins, o.Log = origins(t, pageOrigin), log.logger() })
	h.serve(from(pageOrigin, "GET", "/healthz"))
	h.serve(from("http://example.com", "GET", "/healthz")) // the host of httptest
	long := "https://" + strings.Repeat("x", 5000) + ".example.com"
	for _, origin := range []string{"https://evil.example.com", long, long, "https://other.example.com"} {
		h.serve(from(origin, "GET", "/ws"))
	}
	lines := log.with("level=WARN", "origin")
	if len(lines) == 0 || len(lines) > 2 || len(strings.Join(lines, "")) > 3000 {
		t.Fatalf("four refused origins are logged as\n%s", strings.Join(lines, ""))
	}
	for _, text := range []string{"origin=https://evil.example.com", "host=example.com", "allowed=" + pageOrigin, "path=/ws"} {
		if !strings.Contains(lines[0], text) {
			t.Errorf("the line lacks %q: %s", text, lines[0])
		}
	}
	if n := counterValue(t, h, "roost_gateway_origins_refused_total"); n != 4 {
		t.Errorf("the metric counts %g", n)
	}
}

// counterValue is the value of a metric without labels.
func counterValue(t testing.TB, h *house, name string) float64 {
	t.Helper()
	families, err := h.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}
