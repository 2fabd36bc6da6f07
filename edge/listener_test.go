package edge_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus"

	"roost/edge"
	"roost/schemas"
)

// ask sends a request, reads the answer, and leaves the connection open.
func ask(t *testing.T, c net.Conn, request string) (*http.Response, string) {
	t.Helper()
	if request == "" {
		request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	}
	go func() { _, _ = io.WriteString(c, request) }() // the close of the connection ends it: the server may not read a refused one
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// wantRefusal checks that the server answers in the form of the protocol and then closes the
// connection.
func wantRefusal(t *testing.T, c net.Conn, request string, status int, code schemas.Code) {
	t.Helper()
	resp, body := ask(t, c, request)
	var a schemas.Answer
	if err := json.Unmarshal([]byte(body), &a); err != nil || a.Error == nil {
		t.Fatalf("%d %q is no answer of the protocol", resp.StatusCode, body)
	}
	if resp.StatusCode != status || a.Error.Code != code || !resp.Close || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d %+v %v", resp.StatusCode, a.Error, resp.Header)
	}
	if waits := resp.Header.Get("Retry-After") != ""; waits != (a.Error.RetryAfterMS > 0) {
		t.Errorf("Retry-After is %q, and retry_after_ms %d", resp.Header.Get("Retry-After"), a.Error.RetryAfterMS)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the answer: %v", err)
	}
	_ = c.Close()
}

// sayRemote answers with the client's address.
func sayRemote(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }

// TestConnectionBoundOfProcess: the server answers a connection over the bound with 503 and
// keeps the open ones. After one of them closes, it accepts another.
func TestConnectionBoundOfProcess(t *testing.T) {
	var r *prometheus.Registry
	served(t, sayRemote, func(o *edge.Options) {
		o.MaxConnections = 2
		r = o.Registry.(*prometheus.Registry)
	}, func(p *pipes) {
		first, second := p.dial("192.0.2.1:1"), p.dial("192.0.2.2:1")
		defer second.Close()
		ask(t, first, "")
		ask(t, second, "")
		for i := range 3 {
			wantRefusal(t, p.dial("192.0.2.3:1"), "", http.StatusServiceUnavailable, schemas.CodeUnavailable)
			if got := count(t, r, "roost_http_connections_refused_total", "process"); got != float64(i+1) {
				t.Errorf("%v refusals are counted after %d", got, i+1)
			}
		}
		if got := count(t, r, "roost_http_connections", ""); got != 2 {
			t.Errorf("%v connections are counted", got)
		}
		if _, body := ask(t, first, ""); body != "192.0.2.1:1" {
			t.Errorf("an open connection got %q", body)
		}
		_ = first.Close()
		synctest.Wait()
		third := p.dial("192.0.2.3:1")
		defer third.Close()
		if _, body := ask(t, third, ""); body != "192.0.2.3:1" {
			t.Errorf("in the free place: %q", body)
		}
	})
}

// TestConnectionBoundOfAddress: each IPv4 address and each /64 has its own bound. A trusted
// proxy has none.
func TestConnectionBoundOfAddress(t *testing.T) {
	served(t, sayRemote, func(o *edge.Options) { o.MaxPerAddress, o.TrustedProxies = 1, loopback }, func(p *pipes) {
		var open []net.Conn
		for _, from := range []string{"192.0.2.1:1", "[::ffff:192.0.2.2]:1", "[2001:db8::1]:1", "[2001:db8:0:1::1]:1", "127.0.0.1:1", "127.0.0.1:2"} {
			c := p.dial(from)
			open = append(open, c)
			if resp, body := ask(t, c, ""); resp.StatusCode != http.StatusOK || body != strings.Replace(from, "[::ffff:192.0.2.2]", "192.0.2.2", 1) {
				t.Errorf("from %s: %d %q", from, resp.StatusCode, body)
			}
		}
		for _, from := range []string{"192.0.2.1:2", "192.0.2.2:2", "[2001:db8::ffff:1:2:3]:1"} {
			wantRefusal(t, p.dial(from), "", http.StatusTooManyRequests, schemas.CodeRateLimited)
		}
		for _, c := range open {
			_ = c.Close()
		}
		synctest.Wait()
		c := p.dial("192.0.2.1:3")
		defer c.Close()
		ask(t, c, "")
	})
}

// TestRefusalsAreBounded: peers that do not read the refusal hold at most 32 connections, for
// one second.
func TestRefusalsAreBounded(t *testing.T) {
	served(t, sayRemote, func(o *edge.Options) { o.MaxConnections = 1 }, func(p *pipes) {
		holder := p.dial("192.0.2.1:1")
		defer holder.Close()
		ask(t, holder, "")
		began := time.Now()
		for range 32 {
			defer p.dial("192.0.2.3:1").Close()
		}
		atOnce := p.dial("192.0.2.3:1")
		defer atOnce.Close()
		if _, err := atOnce.Read(make([]byte, 1)); err != io.EOF || time.Since(began) != 0 {
			t.Errorf("one more: %v after %v", err, time.Since(began))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		wantRefusal(t, p.dial("192.0.2.3:1"), "", http.StatusServiceUnavailable, schemas.CodeUnavailable)
	})
}

// TestProxyProtocol: the server believes a PROXY header only from a trusted proxy.
func TestProxyProtocol(t *testing.T) {
	served(t, sayRemote, func(o *edge.Options) {
		o.TrustedProxies, o.ProxyProtocol, o.MaxPerAddress = loopback, true, 1
	}, func(p *pipes) {
		v1 := "PROXY TCP4 203.0.113.9 127.0.0.1 1111 80\r\n"
		v2, err := proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[2001:db8::9]:1111")),
			net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[::1]:80"))).Format()
		if err != nil {
			t.Fatal(err)
		}
		get := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
		for _, c := range []struct{ name, from, header, want string }{
			{"version 1", "127.0.0.1:5", v1, "203.0.113.9:1111"},
			{"version 2", "127.0.0.1:5", string(v2), "[2001:db8::9]:1111"},
			{"the proxy itself", "127.0.0.1:5", "PROXY UNKNOWN\r\n", "127.0.0.1:5"},
			{"another peer", "192.0.2.1:5", "", "192.0.2.1:5"},
		} {
			conn := p.dial(c.from)
			if _, body := ask(t, conn, c.header+get); body != c.want {
				t.Errorf("%s: the client is %s", c.name, body)
			}
			_ = conn.Close()
			synctest.Wait()
		}
		wantRefusal(t, p.dial("192.0.2.1:5"), v1+get, http.StatusBadRequest, schemas.CodeBadFrame)
		for _, sends := range []string{"", get, "PROXY TCP4 nonsense\r\n" + get} {
			conn := p.dial("127.0.0.1:5")
			go func() { _, _ = io.WriteString(conn, sends) }()
			began := time.Now()
			if _, err := conn.Read(make([]byte, 1)); err != io.EOF || time.Since(began) > 5*time.Second {
				t.Errorf("a proxy that sends %q: %v after %v", sends, err, time.Since(began))
			}
			_ = conn.Close()
		}
		first := p.dial("127.0.0.1:6")
		defer first.Close()
		ask(t, first, v1+get)
		synctest.Wait()
		wantRefusal(t, p.dial("127.0.0.1:7"), v1+get, http.StatusTooManyRequests, schemas.CodeRateLimited)
		_ = first.Close()
		synctest.Wait()
		again := p.dial("127.0.0.1:8")
		defer again.Close()
		if _, body := ask(t, again, v1+get); body != "203.0.113.9:1111" {
			t.Errorf("in the free place: %q", body)
		}
	})
}

// TestMalformedRequests: the server answers malformed requests in the form of the protocol.
func TestMalformedRequests(t *testing.T) {
	served(t, sayRemote, nil, func(p *pipes) {
		for request, status := range map[string]int{
			"nonsense\r\n\r\n":                                                            http.StatusBadRequest,
			"GET / HTTP/1.1\r\n\r\n":                                                      http.StatusBadRequest, // without Host
			"GET / HTTP/1.1\r\nHost: a b\r\n\r\n":                                         http.StatusBadRequest,
			"GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n":                          http.StatusBadRequest,
			"GET / HTTP/3.7\r\nHost: x\r\n\r\n":                                           http.StatusHTTPVersionNotSupported,
			"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: strange\r\n\r\n":            http.StatusNotImplemented,
			"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 21<<10) + "\r\n\r\n": http.StatusRequestHeaderFieldsTooLarge,
		} {
			wantRefusal(t, p.dial("192.0.2.1:1"), request, status, schemas.CodeBadFrame)
		}
	})
}
