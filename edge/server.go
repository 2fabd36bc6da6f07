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

// The deadlines of HTTP. They end for a WebSocket with its upgrade; it has its own.
const (
	// readHeaderTimeout bounds the time to read the headers of a request.
	readHeaderTimeout = 10 * time.Second
	// readTimeout bounds the time to read a whole request.
	readTimeout = 30 * time.Second
	// writeTimeout bounds the time from the headers of the request to the end of the
	// answer. A handler that writes for longer extends its deadline.
	writeTimeout = 30 * time.Second
	// idleTimeout bounds the time between two requests of a connection.
	idleTimeout = 2 * time.Minute
	// maxHeaderBytes bounds the headers of a request; net/http adds 4 KiB.
	maxHeaderBytes = 16 << 10
	// maxStreams bounds the concurrent requests of one HTTP/2 connection.
	maxStreams = 64
	// pingTimeout bounds the time to answer a ping of HTTP/2.
	pingTimeout = 15 * time.Second
)

// Options of a [Server]. The zero value bounds nothing.
type Options struct {
	// MaxConnections of the process. Default: no bound.
	MaxConnections int
	// MaxPerAddress bounds the connections of one IPv4 address, or of one /64 of IPv6.
	// It does not apply to trusted proxies. Default: no bound.
	MaxPerAddress int
	// TrustedProxies may open any number of connections. With ProxyProtocol their PROXY
	// headers name the clients.
	TrustedProxies []netip.Prefix
	// ProxyProtocol requires a PROXY header, version 1 or 2, on each connection of a
	// trusted proxy. It does not affect other peers.
	ProxyProtocol bool
	// TLS serves HTTPS, with HTTP/2. Default: plain HTTP.
	TLS *tls.Config
	// HSTS is the max-age of the Strict-Transport-Security header, in whole seconds. It
	// needs TLS. Default: no header.
	HSTS time.Duration
	// Registry registers the metrics. Required.
	Registry prometheus.Registerer
	// Log receives warnings, at most one of a kind per second. Default slog.Default().
	Log *slog.Logger
}

// Server serves HTTP on one listener.
type Server struct {
	opts     Options
	listener *listener
	http     *http.Server
}

// New returns a server that accepts from inner and will close it. Serve starts the server.
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
// CloseListener or Shutdown, even if they ran before it.
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

// CloseListener stops accepting connections and waits for the refusals in progress. Open
// connections stay open. It may be called before Serve, and again.
func (s *Server) CloseListener() { _ = s.listener.Close() }

// Shutdown waits until requests in progress finish or ctx ends. Then it closes all
// connections but those of WebSockets. It may be called before Serve, and again.
func (s *Server) Shutdown(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	_ = s.listener.Close() // http.Server knows the listener only after Serve
}

// withHSTS adds the Strict-Transport-Security header to each answer of h.
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

// errorLog receives the log lines of net/http. It logs a panic of a handler as an error.
// Clients cause all other lines; it logs them at debug level.
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
