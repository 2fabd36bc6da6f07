package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Deadlines of HTTP. A WebSocket leaves them behind with its upgrade and has its own.
const (
	// readHeaderTimeout is how long the head of a request may take.
	readHeaderTimeout = 10 * time.Second
	// readTimeout is how long a whole request may take.
	readTimeout = 30 * time.Second
	// writeTimeout is how long the answer may take, from the head of the request on. A
	// handler with more to write moves its own deadline on.
	writeTimeout = 30 * time.Second
	// idleTimeout is how long a connection may wait for the next request.
	idleTimeout = 2 * time.Minute
	// maxHeaderBytes bounds the head of a request; net/http adds 4 KiB.
	maxHeaderBytes = 16 << 10
	// maxStreams bounds the requests under way on one connection of HTTP/2.
	maxStreams = 64
	// pingTimeout bounds how long a dead connection of HTTP/2 stays.
	pingTimeout = 15 * time.Second
)

// Options of a [Server]. The zero value bounds nothing.
type Options struct {
	// MaxConnections of the process. Default: no bound.
	MaxConnections int
	// MaxPerAddress bounds the connections of one IPv4 address, or of one /64 of IPv6.
	// Trusted proxies have no such bound. Default: no bound.
	MaxPerAddress int
	// TrustedProxies may open any number of connections, and with ProxyProtocol they say
	// who the client is.
	TrustedProxies []netip.Prefix
	// ProxyProtocol expects a PROXY header, version 1 or 2, on each connection of a
	// trusted proxy. Other peers are served as if it were off.
	ProxyProtocol bool
	// TLS serves HTTPS, with HTTP/2. Default: plain HTTP.
	TLS *tls.Config
	// HSTS is for how long browsers shall use HTTPS alone, in whole seconds. It counts
	// with TLS. Default: not said.
	HSTS time.Duration
	// Registry gets the metrics. Required.
	Registry prometheus.Registerer
	// Log gets warnings, at most one of a kind a second. Default slog.Default().
	Log *slog.Logger
}

// Server serves HTTP on one listener.
type Server struct {
	opts     Options
	listener *listener
	http     *http.Server
}

// New makes a server that accepts from inner, which it closes. Serve makes it work.
func New(inner net.Listener, o Options) *Server {
	if o.MaxConnections <= 0 {
		o.MaxConnections = math.MaxInt
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Server{opts: o}
	m := newMetrics(o.Registry, func() float64 { return float64(s.listener.connections()) })
	s.listener = newListener(inner, &s.opts, m)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(o.TLS != nil)
	s.http = &http.Server{
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, DisableGeneralOptionsHandler: true, Protocols: protocols, TLSConfig: o.TLS,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: idleTimeout / 2, PingTimeout: pingTimeout, WriteByteTimeout: writeTimeout},
		ErrorLog: log.New(errorLog{o.Log}, "", 0),
	}
	return s
}

// Serve answers requests with h until the listener closes. It returns nil after
// CloseListener or Shutdown.
func (s *Server) Serve(h http.Handler) error {
	s.http.Handler = h
	serve := s.http.Serve
	if s.opts.TLS != nil {
		s.http.Handler = withHSTS(h, s.opts.HSTS)
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") } // the certificate is in TLSConfig
	}
	err := serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// CloseListener accepts no more connections; those that are open live on.
func (s *Server) CloseListener() { _ = s.listener.Close() }

// Shutdown lets requests under way finish as long as ctx allows, and then ends all
// connections but those of WebSockets.
func (s *Server) Shutdown(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	_ = s.listener.Close() // if Serve was never called
}

// withHSTS tells browsers to come back over HTTPS alone.
func withHSTS(h http.Handler, maxAge time.Duration) http.Handler {
	if maxAge <= 0 {
		return h
	}
	value := fmt.Sprintf("max-age=%d", int64(maxAge.Seconds()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", value)
		h.ServeHTTP(w, r)
	})
}

// errorLog takes what net/http logs. A panic is an error of ours; all else is what a
// client did.
type errorLog struct{ log *slog.Logger }

// Write implements [io.Writer].
func (e errorLog) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.Contains(line, []byte("panic serving")) {
		level = slog.LevelError
	}
	e.log.Log(context.Background(), level, string(bytes.TrimSpace(line)))
	return len(line), nil
}
