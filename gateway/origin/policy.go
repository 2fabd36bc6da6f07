package origin

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/cors"
	"golang.org/x/time/rate"
)

// corsMaxAge is for how long browsers may cache the answer to a preflight request.
const corsMaxAge = time.Hour

// Policy decides which web pages may use the server. CORS and WebSocket handshakes use the
// same Policy.
type Policy struct {
	// Allowed are the origins that may use the server, besides its own.
	Allowed Allowed
	// Proxies are trusted to name the host that the client requested.
	Proxies Proxies
	// Refused counts requests from origins that are not allowed.
	Refused prometheus.Counter
	// Log gets at most one warning about such a request in a second.
	Log *slog.Logger

	logged rate.Sometimes
}

// NewPolicy returns a Policy; its arguments are the fields of that name.
func NewPolicy(allowed Allowed, proxies Proxies, refused prometheus.Counter, log *slog.Logger) *Policy {
	return &Policy{Allowed: allowed, Proxies: proxies, Refused: refused, Log: log, logged: rate.Sometimes{Interval: time.Second}}
}

// CORS lets the web pages of allowed origins read answers, and use the methods and headers
// of the protocol. A page sets the token in the Authorization header itself, so there are no
// credentials in the sense of CORS. A browser hides answers from pages of other origins, and
// sends their requests only if a form could send the same.
func (p *Policy) CORS(next http.Handler) http.Handler {
	rules := cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, _ string) (bool, []string) { return p.Allows(r), nil },
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
			http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Idempotency-Key"},
		ExposedHeaders: []string{"Allow", "ETag", "Retry-After", "WWW-Authenticate"},
		MaxAge:         int(corsMaxAge.Seconds()),
	})
	handler := rules.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.Allows(r) {
			p.note(r)
		}
		handler.ServeHTTP(w, r)
	})
}

// Allows reports whether the web page that sends a request may use the server: its origin is
// the server's own, or one of Allowed. A request without an Origin header comes from a
// program that is not a browser, or from a page of the same origin.
func (p *Policy) Allows(r *http.Request) bool {
	headers := r.Header.Values("Origin")
	if len(headers) != 1 {
		return len(headers) == 0
	}
	o, ok := parseOrigin(headers[0])
	return ok && p.own(r, o) || p.Allowed.Has(headers[0])
}

// own reports whether o is the origin of the server itself, as the client addressed it. If the
// client surely used TLS, the scheme has to be https. Otherwise a proxy that says nothing may
// have ended TLS, and both schemes fit.
func (p *Policy) own(r *http.Request, o origin) bool {
	client := p.Proxies.Client(r)
	if o.scheme != "https" && (o.scheme != "http" || client.Proto == "https") {
		return false
	}
	return o == makeOrigin(o.scheme, client.Host)
}

// note counts a request from an origin that is not allowed, and logs it.
func (p *Policy) note(r *http.Request) {
	p.Refused.Inc()
	p.logged.Do(func() {
		p.Log.Warn("a web page of an origin that is not allowed sent a request; if the page is yours, add its origin to --allowed-origins",
			"origin", clipped(strings.Join(r.Header.Values("Origin"), ", ")), "host", clipped(p.Proxies.Client(r).Host),
			"allowed", p.Allowed.String(), "method", r.Method, "path", clipped(r.URL.Path))
	})
}

// clipped is the beginning of a stranger's text, short enough for a log line.
func clipped(text string) string {
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
