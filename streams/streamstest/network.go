package streamstest

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"roost/streams"
	"roost/streams/embedded"
)

// FreePort is a TCP port that nobody listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// OnPort is an option of [Server]: clients may connect by TCP.
func OnPort(port int) func(*embedded.Options) {
	return func(o *embedded.Options) { o.Host, o.Port = "127.0.0.1", port }
}

// ByURL is an option of [Connect]: by TCP instead of inside the process.
func ByURL(address string) func(*streams.Options) {
	return func(o *streams.Options) { o.InProcess, o.URL = nil, "nats://"+address }
}

// Network is a TCP connection that tests can break.
type Network struct {
	// Address to connect to.
	Address string

	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu    sync.Mutex // guards the rest
	mute  bool
	cut   bool
	lost  int
	conns map[net.Conn]struct{}
}

// NewNetwork leads to a local port.
func NewNetwork(t testing.TB, port int) *Network {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &Network{Address: l.Addr().String(), listener: l, target: fmt.Sprint("127.0.0.1:", port), conns: make(map[net.Conn]struct{})}
	n.wg.Go(n.accept)
	t.Cleanup(func() {
		_ = l.Close()
		n.Cut()
		n.wg.Wait()
	})
	return n
}

// Mute loses, from now on, whatever the server says.
func (n *Network) Mute() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mute = true
}

// Cut breaks all connections, and lets none through until Mend.
func (n *Network) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = true
	for c := range n.conns {
		_ = c.Close()
	}
}

// Mend lets new connections through, and hears what the server says.
func (n *Network) Mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut, n.mute, n.lost = false, false, 0
}

func (n *Network) accept() {
	for {
		client, err := n.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", n.target)
		if err != nil || !n.add(client, server) {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			continue
		}
		n.wg.Go(func() { n.copy(server, client, func() bool { return false }) })
		n.wg.Go(func() { n.copy(client, server, n.muted) })
	}
}

func (n *Network) add(all ...net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut {
		return false
	}
	for _, c := range all {
		n.conns[c] = struct{}{}
	}
	return true
}

// Lost is how much of what the server said was lost since the last Mend, in reads
// of a connection.
func (n *Network) Lost() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost
}

func (n *Network) muted() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mute {
		n.lost++
	}
	return n.mute
}

func (n *Network) copy(to io.WriteCloser, from net.Conn, lose func() bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		k, err := from.Read(buf)
		if err != nil {
			return
		}
		if lose() {
			continue
		}
		if _, err := to.Write(buf[:k]); err != nil {
			return
		}
	}
}
