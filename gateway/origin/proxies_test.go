package origin

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func requestFrom(peer string, headers ...string) *http.Request {
	r := httptest.NewRequest("GET", "http://inside:8080/devices", nil)
	r.RemoteAddr = peer
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func behind(t *testing.T, proxies ...string) Proxies {
	t.Helper()
	prefixes, err := ParseProxies(proxies)
	if err != nil {
		t.Fatal(err)
	}
	return prefixes
}

// TestRemoteAddress: only the headers of a trusted proxy name the client.
func TestRemoteAddress(t *testing.T) {
	p := behind(t, "10.0.0.0/8", "fd00::/8", "::ffff:172.16.0.0/108", "192.0.2.77")
	for _, c := range []struct {
		name, peer string
		headers    []string
		want       string
	}{
		{"no proxy", "198.51.100.1:5", nil, "198.51.100.1"},
		{"no proxy, but headers", "198.51.100.1:5", []string{"X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9"}, "198.51.100.1"},
		{"a proxy that says nothing", "10.0.0.1:5", nil, "10.0.0.1"},
		{"one proxy", "10.0.0.1:5", []string{"X-Forwarded-For: 203.0.113.9"}, "203.0.113.9"},
		{"a single address as the proxy", "192.0.2.77:5", []string{"X-Forwarded-For: 203.0.113.9"}, "203.0.113.9"},
		{"a proxy over a mapped address", "[::ffff:10.0.0.1]:5", []string{"X-Forwarded-For: 203.0.113.9"}, "203.0.113.9"},
		{"a mapped prefix", "172.16.0.1:5", []string{"X-Forwarded-For: 203.0.113.9"}, "203.0.113.9"},
		{"the client wrote some too", "10.0.0.1:5", []string{"X-Forwarded-For: 127.0.0.1, 10.9.9.9, 203.0.113.9"}, "203.0.113.9"},
		{"on a line of its own", "10.0.0.1:5", []string{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: 203.0.113.9"}, "203.0.113.9"},
		{"two proxies", "10.0.0.1:5", []string{"X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"proxies alone", "10.0.0.1:5", []string{"X-Forwarded-For: 10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no address", "10.0.0.1:5", []string{"X-Forwarded-For: 203.0.113.9, unknown"}, "10.0.0.1"},
		{"no address before a proxy", "10.0.0.1:5", []string{"X-Forwarded-For: 203.0.113.9, evil, 10.0.0.2"}, "10.0.0.2"},
		{"empty", "10.0.0.1:5", []string{"X-Forwarded-For: "}, "10.0.0.1"},
		{"with a port", "10.0.0.1:5", []string{"X-Forwarded-For: 203.0.113.9:1234"}, "203.0.113.9"},
		{"IPv6", "[fd00::1%eth0]:5", []string{"X-Forwarded-For: 2001:db8::1"}, "2001:db8::1"},
		{"IPv6 with a port", "10.0.0.1:5", []string{"X-Forwarded-For: [2001:db8::1]:1234"}, "2001:db8::1"},
		{"Forwarded", "10.0.0.1:5", []string{`Forwarded: for=127.0.0.1, For="[2001:db8::1]:47";proto=https;by=10.0.0.1`}, "2001:db8::1"},
		{"Forwarded with a comma in quotes", "10.0.0.1:5", []string{`Forwarded: for=127.0.0.1;x="a,for=\"8.8.8.8", for=203.0.113.9`}, "203.0.113.9"},
		{"Forwarded, hidden", "10.0.0.1:5", []string{"Forwarded: for=203.0.113.9, for=_hidden"}, "10.0.0.1"},
		{"a quote that swallows the proxy's element", "10.0.0.1:5", []string{`Forwarded: for=127.0.0.1;x=", for=203.0.113.9`}, "10.0.0.1"},
		{"and on a line of its own", "10.0.0.1:5", []string{`Forwarded: for=127.0.0.1;x="`, "Forwarded: for=203.0.113.9"}, "203.0.113.9"},
		{"both, that agree", "10.0.0.1:5", []string{"X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9"}, "203.0.113.9"},
		{"both: one is the client's own", "10.0.0.1:5", []string{"X-Forwarded-For: 203.0.113.9", "Forwarded: for=127.0.0.1"}, "10.0.0.1"},
	} {
		if got := p.Client(requestFrom(c.peer, c.headers...)).Addr.String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestRemoteHost: what the client asked for, as the proxy next to it says.
func TestRemoteHost(t *testing.T) {
	p := behind(t, "10.0.0.0/8")
	for _, c := range []struct {
		name, peer  string
		headers     []string
		host, proto string
		trusted     bool
	}{
		{"no proxy", "198.51.100.1:5", []string{"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https"}, "inside:8080", "http", false},
		{"a proxy", "10.0.0.1:5", []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Host: chat.example", "X-Forwarded-Proto: HTTPS"}, "chat.example", "https", true},
		{"a proxy that appends", "10.0.0.1:5", []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Host: evil.example, chat.example:8443"}, "chat.example:8443", "http", true},
		{"two proxies that append", "10.0.0.1:5", []string{"X-Forwarded-For: 203.0.113.9, 10.0.0.2", "X-Forwarded-Host: evil.example, chat.example, middle:80", "X-Forwarded-Proto: http, https, http"}, "chat.example", "https", true},
		{"two proxies, one sets it", "10.0.0.1:5", []string{"X-Forwarded-For: 203.0.113.9, 10.0.0.2", "X-Forwarded-Host: chat.example", "X-Forwarded-Proto: https"}, "chat.example", "https", true},
		{"Forwarded", "10.0.0.1:5", []string{`Forwarded: for=203.0.113.9;host="chat.example:8443";proto=https`}, "chat.example:8443", "https", true},
		{"nonsense", "10.0.0.1:5", []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Host: a/b", "X-Forwarded-Proto: javascript"}, "inside:8080", "http", true},
	} {
		got := p.Client(requestFrom(c.peer, c.headers...))
		if got.Host != c.host || got.Proto != c.proto || got.Trusted != c.trusted {
			t.Errorf("%s: got %q %q %v", c.name, got.Host, got.Proto, got.Trusted)
		}
	}
	r := requestFrom("198.51.100.1:5")
	r.TLS = &tls.ConnectionState{}
	if got := p.Client(r); got.Proto != "https" {
		t.Errorf("with TLS of its own: %q", got.Proto)
	}
}

// TestLimitsCountIPv6ByPrefix: a subscriber has a /64, and so countless addresses.
func TestLimitsCountIPv6ByPrefix(t *testing.T) {
	p := behind(t)
	key := func(peer string) string { return p.Client(requestFrom(peer)).LimitKey() }
	if a, b := key("[2001:db8:1:2::1]:5"), key("[2001:db8:1:2:3:4:5:6]:7"); a != b {
		t.Errorf("addresses of one /64 count as %s and %s", a, b)
	}
	if a, b := key("[2001:db8:1:2::1]:5"), key("[2001:db8:1:3::1]:5"); a == b {
		t.Errorf("two /64 count as %s both", a)
	}
	if a, b := key("192.0.2.1:5"), key("[::ffff:192.0.2.1]:5"); a != b || a != "192.0.2.1" {
		t.Errorf("an IPv4 address counts as %s and as %s", a, b)
	}
}

func TestProxiesThatAreNone(t *testing.T) {
	for _, text := range []string{"", "10.0.0.0/33", "proxy.example", "10.0.0.1:80", "fe80::1%eth0"} {
		if got, err := ParseProxies([]string{text}); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}
