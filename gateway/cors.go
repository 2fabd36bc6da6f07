package gateway

import (
	"net/http"
	"strings"
	"time"

	"github.com/rs/cors"
)

// corsMaxAge is for how long browsers may cache the answer to a preflight.
const corsMaxAge = time.Hour

// withCORS lets the web pages of allowed origins read answers, and use the methods and
// headers of the protocol. Tokens stand in the Authorization header, which a page sets
// itself, so there are no credentials in the sense of CORS. A browser keeps the answer from
// pages of other origins, and sends their requests only if a form could send the same.
func (s *Server) withCORS(next http.Handler) http.Handler {
	rules := cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, _ string) (bool, []string) { return s.allowedOrigin(r), nil },
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
			http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Idempotency-Key"},
		ExposedHeaders: []string{"Allow", "ETag", "Retry-After", "WWW-Authenticate"},
		MaxAge:         int(corsMaxAge.Seconds()),
	})
	handler := rules.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.allowedOrigin(r) {
			s.noteOrigin(r)
		}
		handler.ServeHTTP(w, r)
	})
}

// allowedOrigin says whether the web page that makes the request may use the server: its
// origin is the server's own, or one of AllowedOrigins. CORS and WebSocket handshakes both
// ask it. A request without an Origin header comes from a program that is no browser, or
// from a page of the same origin.
func (s *Server) allowedOrigin(r *http.Request) bool {
	headers := r.Header.Values("Origin")
	if len(headers) != 1 {
		return len(headers) == 0
	}
	o, ok := parseOrigin(headers[0])
	return ok && s.ownOrigin(r, o) || s.opts.AllowedOrigins.allows(headers[0])
}

// ownOrigin says whether o is the origin of the server itself, as the client addressed it. Its
// scheme is known if the client surely used TLS; otherwise a proxy that says nothing may have
// ended TLS, and both schemes fit.
func (s *Server) ownOrigin(r *http.Request, o origin) bool {
	client := s.remoteOf(r)
	if o.scheme != "https" && (o.scheme != "http" || client.proto == "https") {
		return false
	}
	return o == makeOrigin(o.scheme, client.host)
}

// noteOrigin counts a request from an origin that is not allowed, and logs it.
func (s *Server) noteOrigin(r *http.Request) {
	s.metrics.originsRefused.Inc()
	s.originLog.Do(func() {
		s.log.Warn("a web page of an origin that is not allowed asked; if it is yours, add it to --allowed-origins",
			"origin", clipped(strings.Join(r.Header.Values("Origin"), ", ")), "host", clipped(s.remoteOf(r).host),
			"allowed", s.opts.AllowedOrigins.String(), "method", r.Method, "path", clipped(r.URL.Path))
	})
}

// clipped is the beginning of what a stranger sent, short enough for a log line.
func clipped(text string) string {
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
