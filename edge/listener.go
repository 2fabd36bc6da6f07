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

// listener accepts connections up to its bounds and refuses the others. A refused peer gets
// an answer or a close. Refusals do not affect open connections.
type listener struct {
	inner   net.Listener
	opts    *Options
	log     *slog.Logger
	metrics *metrics
	refusal *refusals

	mu        sync.Mutex // guards the rest
	open      int
	byAddress map[netip.Prefix]int // open connections; trusted proxies are not counted
	closed    chan struct{}
	isClosed  bool

	warnAccept, warnBound, warnProxy rate.Sometimes // metrics count every failed Accept and every refusal
}

const (
	// minBackoff and maxBackoff bound the pause after a failed Accept.
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

// Accept implements [net.Listener]. After a temporary error, for example if the process has
// no free file, it logs a warning and retries.
func (l *listener) Accept() (net.Conn, error) {
	backoff := minBackoff
	for {
		raw, err := l.inner.Accept()
		if err != nil {
			if !temporary(err) {
				return nil, err
			}
			l.metrics.acceptErrors.Inc()
			l.warnAccept.Do(func() { l.log.Warn("failed to accept a connection; the listener retries", "error", err) })
			if !l.pause(backoff) {
				return nil, net.ErrClosed
			}
			backoff = min(2*backoff, maxBackoff)
			continue
		}
		backoff = minBackoff
		if c := l.admit(raw); c != nil {
			return c, nil
		}
	}
}

// temporary reports whether a retry of Accept may succeed after err.
func temporary(err error) bool {
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

// pause waits for d. It returns false if the listener closes before that.
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

// admit counts a connection, or refuses it and returns nil.
func (l *listener) admit(raw net.Conn) net.Conn {
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

// countAddress counts a connection for its address. It returns false if the address has too
// many. The caller holds mu.
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
	if l.isProxy(a) { // the proxy checks the health of this server
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.countAddress(c, a)
}

// refuse answers and closes a connection that exceeds a bound.
func (l *listener) refuse(raw net.Conn, why reason, peer netip.Addr) {
	l.reportRefusal(why, peer)
	if l.opts.TLS != nil {
		_ = raw.Close() // a TLS client cannot read a plain answer
		return
	}
	l.refusal.answer(raw, why)
}

// reportRefusal counts and logs a refusal.
func (l *listener) reportRefusal(why reason, peer netip.Addr) {
	l.metrics.refused.WithLabelValues(string(why)).Inc()
	l.warnBound.Do(func() {
		l.log.Warn("the listener refused a connection", "bound", string(why), "address", peer.String())
	})
}

// release removes a connection from the counts.
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

// connections returns the number of open connections.
func (l *listener) connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// Close implements [net.Listener]. It closes refused connections and waits for their
// goroutines. Accepted connections stay open. Close may be called again.
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

// addrOf returns the IP address of a peer. It is invalid if the peer has none.
func addrOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// limitKey returns the key in byAddress: an IPv4 address, or the /64 of an IPv6 address.
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
			Help: "Failures to accept a TCP connection."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "roost_http_connections_refused_total",
			Help: "TCP connections refused because of a bound."}, []string{"bound"}),
	}
	r.MustRegister(m.acceptErrors, m.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "roost_http_connections", Help: "Open TCP connections, WebSockets included."}, open))
	return m
}
