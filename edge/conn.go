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

// conn is an accepted connection. Its Close releases what it counts for in the bounds.
type conn struct {
	net.Conn // of TCP, or proxied.Conn
	listener *listener
	key      netip.Prefix // its key in byAddress; invalid if byAddress does not count it
	proxied  *proxied     // nil without a PROXY header
	closed   atomic.Bool
}

// proxied is a connection that starts with a PROXY header.
type proxied struct {
	*proxyproto.Conn
	counting sync.Once // runs countProxied
	err      error     // of countProxied
}

// errRefused ends a connection of an address that has too many.
var errRefused = errors.New("the address has too many connections")

// proxyHeaderTimeout bounds the wait for the PROXY header, which a proxy sends at once.
const proxyHeaderTimeout = 5 * time.Second

// Read implements [net.Conn]. Before the first byte it counts the connection for the
// client that the PROXY header names.
func (c *conn) Read(b []byte) (int, error) {
	if c.proxied != nil {
		c.proxied.counting.Do(func() { c.proxied.err = c.countProxied() })
		if c.proxied.err != nil {
			return 0, c.proxied.err
		}
	}
	return c.Conn.Read(b)
}

// countProxied reads the PROXY header and counts the connection for its client. The
// connection is refused if the client has too many.
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
	l.reportRefusal(reasonAddress, client)
	if l.opts.TLS == nil {
		_ = c.raw().SetWriteDeadline(time.Now().Add(refusalTimeout))
		_, _ = c.raw().Write(reasonAddress.answer()) // net/http closes the connection next
	}
	return &net.OpError{Op: "read", Net: "tcp", Err: errRefused} // net/http writes no answer after a net.OpError
}

// raw returns the TCP connection.
func (c *conn) raw() net.Conn {
	if c.proxied != nil {
		return c.proxied.Raw()
	}
	return c.Conn
}

// Write implements [net.Conn]. If net/http answers a malformed request in plain text,
// Write replaces that answer with one in JSON.
func (c *conn) Write(b []byte) (int, error) {
	if c.listener.opts.TLS == nil {
		if answer := jsonErrorAnswer(b); answer != nil {
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

// CloseWrite closes the writing half of the connection. net/http calls it after an error,
// so that the client can still read the answer.
func (c *conn) CloseWrite() error {
	if half, ok := c.raw().(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
