package edge_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"roost/edge"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// pipes is a listener in memory. A write to one of its connections blocks until the other
// side reads, as with TCP after its buffers are full.
type pipes struct {
	queue chan func() (net.Conn, error)
	once  sync.Once
	ended chan struct{}
}

func newPipes() *pipes {
	return &pipes{queue: make(chan func() (net.Conn, error)), ended: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case next := <-p.queue:
		return next()
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.ended) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// fail makes the next Accept fail.
func (p *pipes) fail(err error) { p.queue <- func() (net.Conn, error) { return nil, err } }

// dial opens a connection from an address.
func (p *pipes) dial(from string) net.Conn {
	client, server := net.Pipe()
	p.queue <- func() (net.Conn, error) { return addressed{server, from}, nil }
	return client
}

type addressed struct {
	net.Conn
	from string
}

func (a addressed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a.from))
}

// count returns the value of a metric, optionally with one value of its label.
func count(t *testing.T, r *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// options returns the options of a test, with their own registry.
func options(t *testing.T, change func(*edge.Options)) (edge.Options, *prometheus.Registry) {
	r := prometheus.NewRegistry()
	o := edge.Options{Registry: r}
	if change != nil {
		change(&o)
	}
	return o, r
}
