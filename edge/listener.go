package edge

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// listener accepts connections up to its bounds. Above them it refuses: the peer gets an
// answer or a close, and connections that are open live on.
type listener struct {
	inner   net.Listener
	opts    *Options
	log     *slog.Logger
	metrics *metrics
	refusal *refusals

	mu        sync.Mutex // guards the rest
	open      int
	byAddress map[netip.Prefix]int // of peers that are no trusted proxies
	closed    chan struct{}
	isClosed  bool

	warnAccept, warnBound, warnProxy rate.Sometimes // metrics count all of the first two
}

const (
	// minBackoff and maxBackoff bound the pause after an Accept that failed.
	minBackoff = 5 * time.Millisecond
	maxBackoff = time.Second
)

func newListener(inner net.Listener, o *Options, m *metrics) *listener {
	return &listener{inner: inner, opts: o, log: o.Log, metrics: m, refusal: newRefusals(),
		byAddress: make(map[netip.Prefix]int), closed: make(chan struct{}),
		warnAccept: rate.Sometimes{Interval: time.Second},
		warnBound:  rate.Sometimes{Interval: time.Second},
		warnProxy:  rate.Sometimes{Interval: time.Second},
	}
}

// Accept implements [net.Listener]. An error that may pass, for example that the process
// or the system is out of files, is a warning, and Accept tries again.
func (l *listener) Accept() (net.Conn, error) {
	backoff := minBackoff
	for {
		raw, err := l.inner.Accept()
		if err != nil {
			if !l.passes(err) {
				return nil, err
			}
			l.metrics.acceptErrors.Inc()
			l.warnAccept.Do(func() { l.log.Warn("a connection could not be accepted; trying again", "error", err) })
			if !l.pause(backoff) {
				return nil, net.ErrClosed
			}
			backoff = min(2*backoff, maxBackoff)
			continue
		}
		backoff = minBackoff
		if c := l.take(raw); c != nil {
			return c, nil
		}
	}
}

// passes says whether an error of Accept may be gone at the next try.
func (l *listener) passes(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EPROTO, syscall.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// pause waits; false if the listener is closed meanwhile.
func (l *listener) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.closed:
		return false
	}
}

// take counts a connection, or refuses it and returns nil.
func (l *listener) take(raw net.Conn) net.Conn {
	peer := addrOf(raw.RemoteAddr())
	proxy := l.isProxy(peer)
	c := &conn{Conn: raw, listener: l}
	l.mu.Lock()
	if l.isClosed || l.open >= l.opts.MaxConnections {
		l.mu.Unlock()
		l.refuse(raw, reasonProcess, peer)
		return nil
	}
	if !proxy && !l.countAddress(c, peer) {
		l.mu.Unlock()
		l.refuse(raw, reasonAddress, peer)
		return nil
	}
	l.open++
	l.mu.Unlock()
	if proxy && l.opts.ProxyProtocol {
		c.proxied = &proxied{Conn: proxyproto.NewConn(raw, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(proxyHeaderTimeout))}
		c.Conn = c.proxied.Conn
	}
	return c
}

// countAddress counts a connection for its address; false if that has too many. The
// caller holds mu.
func (l *listener) countAddress(c *conn, a netip.Addr) bool {
	key, ok := limitKey(a)
	if !ok || l.opts.MaxPerAddress <= 0 {
		return true
	}
	if l.byAddress[key] >= l.opts.MaxPerAddress {
		return false
	}
	l.byAddress[key]++
	c.key = key
	return true
}

// countClient counts a connection for the client that a PROXY header names.
func (l *listener) countClient(c *conn, a netip.Addr) bool {
	if l.isProxy(a) { // a health check of the proxy itself
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.countAddress(c, a)
}

// refuse ends a connection over a bound.
func (l *listener) refuse(raw net.Conn, why reason, peer netip.Addr) {
	l.noteRefusal(why, peer)
	if l.opts.TLS != nil {
		_ = raw.Close() // a plain answer means nothing to a TLS client
		return
	}
	l.refusal.answer(raw, why)
}

func (l *listener) noteRefusal(why reason, peer netip.Addr) {
	l.metrics.refused.WithLabelValues(string(why)).Inc()
	l.warnBound.Do(func() {
		l.log.Warn("a connection is refused", "bound", string(why), "address", peer.String())
	})
}

// release gives the places of a connection back.
func (l *listener) release(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if c.key.IsValid() {
		if l.byAddress[c.key]--; l.byAddress[c.key] == 0 {
			delete(l.byAddress, c.key)
		}
	}
}

// connections is the number of open connections.
func (l *listener) connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// Close implements [net.Listener] and waits until refused connections are gone.
// Connections that were accepted live on.
func (l *listener) Close() error {
	l.mu.Lock()
	if !l.isClosed {
		l.isClosed = true
		close(l.closed)
	}
	l.mu.Unlock()
	err := l.inner.Close()
	l.refusal.stop()
	return err
}

// Addr implements [net.Listener].
func (l *listener) Addr() net.Addr { return l.inner.Addr() }

func (l *listener) isProxy(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(l.opts.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// addrOf is the IP address of a peer, not valid if it has none.
func addrOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// limitKey is what connections are counted by: an IPv4 address, or the /64 of an IPv6
// address.
func limitKey(a netip.Addr) (netip.Prefix, bool) {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	return p, err == nil && a.IsValid()
}

// metrics of a listener.
type metrics struct {
	acceptErrors prometheus.Counter
	refused      *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, open func() float64) *metrics {
	m := &metrics{
		acceptErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "roost_http_accept_errors_total",
			Help: "TCP connections that could not be accepted."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "roost_http_connections_refused_total",
			Help: "TCP connections refused because of a bound."}, []string{"bound"}),
	}
	r.MustRegister(m.acceptErrors, m.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "roost_http_connections", Help: "Open TCP connections, WebSockets included."}, open))
	return m
}
