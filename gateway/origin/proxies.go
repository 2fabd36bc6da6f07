package origin

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Client is the client of a request: the peer of the TCP connection, or the client that
// trusted proxies name.
type Client struct {
	Addr    netip.Addr // not valid if the peer has no IP address
	Host    string     // the host and port that the client requested
	Proto   string     // "http" or "https", between the client and the first proxy, or this server
	Trusted bool       // a trusted proxy sent the request
}

// Proxies are the networks of trusted proxies.
type Proxies []netip.Prefix

// ParseProxies parses addresses and CIDR prefixes of trusted proxies.
func ParseProxies(list []string) (Proxies, error) {
	proxies := make(Proxies, 0, len(list))
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, errAddr := netip.ParseAddr(text)
			if errAddr != nil || addr.Zone() != "" {
				return nil, err
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
		}
		proxies = append(proxies, prefix.Masked())
	}
	return proxies, nil
}

// Client returns the client of a request. Headers count only if a trusted proxy sent them:
//
//  1. The client is the rightmost address of X-Forwarded-For, or of Forwarded, that is
//     not a trusted proxy. An entry that is not an address ends the search: the client is
//     then the proxy that wrote the entry.
//  2. If both headers name different clients, neither counts: a proxy sets one of them and
//     passes the other on as the client wrote it.
//  3. Host and Proto are those that the proxy next to the client wrote, if it did.
func (p Proxies) Client(r *http.Request) Client {
	c := Client{Addr: peerAddr(r.RemoteAddr), Host: r.Host, Proto: "http"}
	if r.TLS != nil {
		c.Proto = "https"
	}
	if !p.has(c.Addr) {
		return c
	}
	c.Trusted = true
	list, forwarded := headerList(r, "X-Forwarded-For"), parseForwarded(r.Header.Values("Forwarded"))
	addr, hops := p.walk(c.Addr, list)
	if len(forwarded) > 0 {
		nodes := make([]string, len(forwarded))
		for i, f := range forwarded {
			nodes[i] = f["for"]
		}
		byForwarded, hopsForwarded := p.walk(c.Addr, nodes)
		switch {
		case len(list) == 0:
			addr, hops = byForwarded, hopsForwarded
		case addr != byForwarded:
			addr, hops = c.Addr, 1
		}
	}
	c.Addr = addr
	c.Host = forwardedValue(c.Host, "host", hops, headerList(r, "X-Forwarded-Host"), forwarded, isHost)
	c.Proto = strings.ToLower(forwardedValue(c.Proto, "proto", hops, headerList(r, "X-Forwarded-Proto"), forwarded, isProto))
	return c
}

// walk goes from the peer to the rightmost address that is no trusted proxy. It
// returns that address, and how many proxies it passed.
func (p Proxies) walk(peer netip.Addr, list []string) (netip.Addr, int) {
	addr, hops := peer, 0
	for hops < len(list) && p.has(addr) {
		next, ok := nodeAddr(list[len(list)-1-hops])
		if !ok {
			break
		}
		addr = next
		hops++
	}
	return addr, max(hops, 1)
}

// forwardedValue is the value that the outermost of hops proxies wrote: each proxy appends to
// the list, or replaces it. X-Forwarded-Host and -Proto take precedence over Forwarded.
func forwardedValue(otherwise, name string, hops int, list []string, forwarded []map[string]string, valid func(string) bool) string {
	value := ""
	if len(list) > 0 {
		value = list[max(len(list)-hops, 0)]
	} else if len(forwarded) > 0 {
		value = forwarded[max(len(forwarded)-hops, 0)][name]
	}
	if value == "" || !valid(value) {
		return otherwise
	}
	return value
}

// isHost reports whether s can be the host of a URL.
func isHost(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/\\@?#"<>,`, r) })
}

func isProto(s string) bool { return strings.EqualFold(s, "http") || strings.EqualFold(s, "https") }

func (p Proxies) has(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// LimitKey is the unit that limits count: an IPv4 address, or the /64 of an IPv6 address,
// because one subscriber has at least a /64.
func (c Client) LimitKey() string {
	if !c.Addr.Is6() {
		return c.Addr.String()
	}
	prefix, _ := c.Addr.Prefix(64) // 64 bits fit any IPv6 address
	return prefix.String()
}

func peerAddr(hostPort string) netip.Addr {
	ap, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// nodeAddr parses an entry of X-Forwarded-For or a "for" of Forwarded: an address with
// or without a port.
func nodeAddr(text string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

// headerList joins all lines of a header and splits them at commas.
func headerList(r *http.Request, name string) []string {
	var list []string
	for _, line := range r.Header.Values(name) {
		for item := range strings.SplitSeq(line, ",") {
			list = append(list, strings.TrimSpace(item))
		}
	}
	return list
}

// parseForwarded parses Forwarded (RFC 7239): one map for each element, with names in lower
// case. A line with a quote that does not end becomes one empty element. Otherwise a quote
// of the client would hide what the proxy appended.
func parseForwarded(lines []string) []map[string]string {
	var elements []map[string]string
	for _, line := range lines {
		list, ok := splitQuoted(line, ',')
		if !ok {
			list = []string{""}
		}
		for _, element := range list {
			pairs := make(map[string]string)
			parts, _ := splitQuoted(element, ';') // quotes end within an element
			for _, pair := range parts {
				if name, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok {
					pairs[strings.ToLower(name)] = unquote(value)
				}
			}
			elements = append(elements, pairs)
		}
	}
	return elements
}

// splitQuoted splits s at each separator outside quoted strings. It is not ok if the last
// quoted string does not end.
func splitQuoted(s string, separator byte) (parts []string, ok bool) {
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:]), !quoted
}

// unquote decodes a quoted string, and returns a token unchanged.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
