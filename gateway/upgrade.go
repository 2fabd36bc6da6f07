package gateway

import (
	"context"
	"net"
	"net/http"

	"github.com/gobwas/ws"

	"roost/gateway/auth"
	"roost/gateway/limit"
	"roost/gateway/socket"
	"roost/schemas"
)

// serveWS is GET /ws: it admits a connection and starts it.
func (s *Server) serveWS(w http.ResponseWriter, r *http.Request) {
	token, address := auth.Bearer(r), s.origins.Proxies.Client(r).LimitKey()
	w.Header().Set("Connection", "close") // if it is refused: a proxy must not reuse the connection
	if token != "" {
		// A wrong token is refused before the upgrade.
		if _, err := s.gate.Authenticate(r.Context(), token); err != nil {
			s.answers.Fail(w, r, err)
			return
		}
	}
	if e := s.conns.admit(address); e != nil {
		s.answers.Fail(w, r, e)
		return
	}
	netConn, early, err := s.upgrade(w, r)
	if err != nil {
		s.conns.dismiss(address)
		s.metrics.refused.WithLabelValues("upgrade").Inc()
		return
	}
	c := &conn{server: s, address: address, bearer: token, slots: make(chan struct{}, schemas.MaxOutstanding)}
	c.socket.Adopt(netConn, early, limit.New(s.opts.Limits.FramesPerSecond))
	c.ctx, c.cancel = context.WithCancel(context.Background()) // Drain ends all of them
	s.metrics.opened.Inc()
	// The connection has goroutines of its own, which frees the stack and buffers of the HTTP handler.
	if !s.conns.add(c, func() { s.wg.Go(c.run) }) {
		c.cancel()
		s.conns.dismiss(address)
		_ = c.socket.Close(ws.StatusCode(schemas.CloseRestarting), "the server restarts")
		c.socket.Linger()
		c.socket.CloseTCP()
	}
}

// upgrade does the handshake of a WebSocket. It answers each request that it refuses.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) (net.Conn, []byte, error) {
	if !s.origins.Allows(r) {
		err := schemas.Errorf(schemas.CodeForbidden, "Origin: web pages of %s may not connect here.", r.Header.Get("Origin"))
		s.answers.Fail(w, r, err)
		return nil, nil, err
	}
	if status, err := socket.CheckHandshake(w, r); err != nil {
		s.answers.FailWith(w, r, status, err)
		return nil, nil, err
	}
	return socket.Upgrade(w, r)
}
