package gateway

import (
	"bytes"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/gobwas/ws"

	"roost/schemas"
)

// upgrade does the handshake of a WebSocket. It answers whatever it refuses. The
// bytes are those that the client sent behind its request.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) (net.Conn, []byte, error) {
	if !s.allowedOrigin(r) {
		err := schemas.Errorf(schemas.CodeForbidden, "Origin: web pages of %s may not connect here.", r.Header.Get("Origin"))
		s.fail(w, r, err)
		return nil, nil, err
	}
	conn, rw, _, err := ws.HTTPUpgrader{Timeout: writeTimeout}.Upgrade(r, w)
	if err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		return nil, nil, err
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // no more than is there, so without an error
	return conn, bytes.Clone(early), nil
}

// allowedOrigin says whether the web page that asks may: it is of this host, or
// of one in AllowedOrigins. Programs that are no browsers name no origin.
func (s *Server) allowedOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	if strings.EqualFold(r.Host, u.Host) {
		return true
	}
	for _, pattern := range s.opts.AllowedOrigins {
		target := u.Host
		if strings.Contains(pattern, "://") {
			target = u.Scheme + "://" + u.Host
		}
		if ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(target)); ok && err == nil {
			return true
		}
	}
	return false
}
