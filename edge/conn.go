package edge

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"
)

// conn is an accepted connection. Its Close gives its places back.
type conn struct {
	net.Conn // of TCP, or proxied.Conn
	listener *listener
	key      netip.Prefix // counted in byAddress; not valid if it is not
	proxied  *proxied     // nil without a PROXY header
	closed   atomic.Bool
}

// proxied is a connection that starts with a PROXY header.
type proxied struct {
	*proxyproto.Conn
	counting sync.Once // of the client that the header names
	err      error
}

// errRefused ends a connection whose client has too many.
var errRefused = errors.New("the address has too many connections")

// proxyHeaderTimeout bounds the wait for the PROXY header, which a proxy sends at once.
const proxyHeaderTimeout = 5 * time.Second

// Read implements [net.Conn]. Before the first byte it counts the client that a PROXY
// header names.
func (c *conn) Read(b []byte) (int, error) {
	if c.proxied != nil {
		c.proxied.counting.Do(func() { c.proxied.err = c.countProxied() })
		if c.proxied.err != nil {
			return 0, c.proxied.err
		}
	}
	return c.Conn.Read(b)
}

// countProxied reads the PROXY header and counts the client for its address.
func (c *conn) countProxied() error {
	l := c.listener
	if _, err := c.proxied.Read(nil); err != nil {
		l.warnProxy.Do(func() {
			l.log.Warn("a trusted proxy sent no PROXY header; the connection is closed", "proxy", c.raw().RemoteAddr().String(), "error", err)
		})
		return err
	}
	client := addrOf(c.proxied.RemoteAddr())
	if l.countClient(c, client) {
		return nil
	}
	l.noteRefusal(reasonAddress, client)
	if l.opts.TLS == nil {
		_ = c.raw().SetWriteDeadline(time.Now().Add(refusalTimeout))
		_, _ = c.raw().Write(reasonAddress.answer()) // net/http closes the connection next
	}
	return &net.OpError{Op: "read", Net: "tcp", Err: errRefused} // net/http answers nothing to these
}

// raw is the TCP connection.
func (c *conn) raw() net.Conn {
	if c.proxied != nil {
		return c.proxied.Raw()
	}
	return c.Conn
}

// Write implements [net.Conn]. It replaces the plain text with which net/http answers
// what is no request.
func (c *conn) Write(b []byte) (int, error) {
	if c.listener.opts.TLS == nil {
		if answer := inEnvelope(b); answer != nil {
			if _, err := c.Conn.Write(answer); err != nil {
				return 0, err
			}
			return len(b), nil
		}
	}
	return c.Conn.Write(b)
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	err := c.Conn.Close()
	if !c.closed.Swap(true) {
		c.listener.release(c)
	}
	return err
}

// CloseWrite ends this side's half of the connection: net/http does so after an error,
// so that the client can read the answer.
func (c *conn) CloseWrite() error {
	if half, ok := c.raw().(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
