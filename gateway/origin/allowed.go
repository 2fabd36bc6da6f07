package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Allowed is a list of the origins of web pages. Its zero value is empty. [ParseAllowed]
// returns one.
type Allowed struct {
	patterns []originPattern
}

// originPattern stands for one or more origins.
type originPattern struct {
	text   string // as an operator writes it
	every  bool   // every origin, also an opaque one; the other fields are empty
	scheme string // empty: any
	host   hostPattern
	port   string // empty: the default one of the origin's scheme; anyPort: any
}

const anyPort = "*"

// hostPattern is a host, or a host whose first label has a *.
type hostPattern struct {
	prefix, suffix string // what stands before and after the *; without one prefix is all
	wild           bool   // there is a *
	labels         bool   // the * is the whole label, and stands for one or several labels
}

// origin is the scheme, host and port that a web page comes from. The port is never the
// empty one of http and https.
type origin struct {
	scheme, host, port string
}

// ParseAllowed parses the values of --allowed-origins. A value is "*", or [SCHEME://]HOST[:PORT],
// or several with commas between them. The first label of the host may have a *, and the port
// may be one. ParseAllowed drops a final slash and upper case, and refuses each value that no
// Origin header can match.
func ParseAllowed(values []string) (Allowed, error) {
	var list Allowed
	for _, value := range values {
		for text := range strings.SplitSeq(value, ",") {
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			p, err := parseOriginPattern(text)
			if err != nil {
				return Allowed{}, err
			}
			list.patterns = append(list.patterns, p)
		}
	}
	return list, nil
}

// String returns the values, with commas between them.
func (l Allowed) String() string {
	texts := make([]string, len(l.patterns))
	for i, p := range l.patterns {
		texts[i] = p.text
	}
	return strings.Join(texts, ",")
}

// Has reports whether the list has the origin of an Origin header.
func (l Allowed) Has(header string) bool {
	o, ok := parseOrigin(header)
	for _, p := range l.patterns {
		if p.every || ok && p.matches(o) {
			return true
		}
	}
	return false
}

func (p originPattern) matches(o origin) bool {
	if p.scheme != "" && p.scheme != o.scheme {
		return false
	}
	switch p.port {
	case anyPort:
	case "":
		if o.port != defaultPort(o.scheme) {
			return false
		}
	default:
		if o.port != p.port {
			return false
		}
	}
	return p.host.matches(o.host)
}

func (h hostPattern) matches(host string) bool {
	if !h.wild {
		return host == h.prefix
	}
	middle, ok := strings.CutPrefix(host, h.prefix)
	if !ok {
		return false
	}
	if middle, ok = strings.CutSuffix(middle, h.suffix); !ok {
		return false
	}
	if h.labels {
		return middle != ""
	}
	return !strings.Contains(middle, ".")
}

// parseOriginPattern reads one value of --allowed-origins.
func parseOriginPattern(text string) (originPattern, error) {
	text = strings.ToLower(text)
	switch text {
	case "*":
		return originPattern{text: text, every: true}, nil
	case "null":
		return originPattern{}, errors.New(`"null" is the origin of every sandboxed page and local file, whoever made it: serve your page from a host, and name that`)
	}
	p := originPattern{}
	scheme, rest, hasScheme := strings.Cut(text, "://")
	if !hasScheme {
		scheme, rest = "", text
	}
	switch {
	case strings.Contains(scheme, "*"):
		return p, fmt.Errorf("%q has a * in its scheme: leave the scheme out to allow each", text)
	case scheme == "ws", scheme == "wss":
		return p, fmt.Errorf("%q is no origin: name where the page comes from, https://… or http://…", text)
	case hasScheme && !isScheme(scheme):
		return p, fmt.Errorf("%q has no valid scheme: write https://HOST, http://HOST or HOST", text)
	}
	p.scheme = scheme
	authority, more := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, more = rest[:i], rest[i:]
	}
	if more != "" && more != "/" {
		return p, fmt.Errorf("%q has more than a scheme, a host and a port, and browsers send no more: leave out %q", text, more)
	}
	if strings.Contains(authority, "@") {
		return p, fmt.Errorf("%q has a user, and browsers send none: leave it out", text)
	}
	host, err := p.readPort(text, authority)
	if err != nil {
		return p, err
	}
	if p.host, err = parseHostPattern(text, host); err != nil {
		return p, err
	}
	p.text = p.write(host)
	return p, nil
}

// readPort sets the port and returns the host before it.
func (p *originPattern) readPort(text, authority string) (host string, err error) {
	host = authority
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 || strings.HasSuffix(authority, "]") { // the colon of an IPv6 address
		if p.scheme != "" {
			p.port = defaultPort(p.scheme)
		}
		return host, nil
	}
	host, port := authority[:colon], authority[colon+1:]
	if port == anyPort {
		p.port = port
		return host, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("%q has no valid port: write a number from 1 to 65535, or * for each port", text)
	}
	p.port = strconv.FormatUint(n, 10)
	return host, nil
}

// write is the pattern as an operator would write it.
func (p *originPattern) write(host string) string {
	text := host
	if p.scheme != "" {
		text = p.scheme + "://" + host
	}
	if p.port != "" && (p.scheme == "" || p.port != defaultPort(p.scheme)) {
		text += ":" + p.port
	}
	return text
}

// parseHostPattern reads the host of a value.
func parseHostPattern(text, host string) (hostPattern, error) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		ip, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return hostPattern{}, fmt.Errorf("%q has no valid IPv6 address", text)
		}
		return hostPattern{prefix: "[" + ip.String() + "]"}, nil
	}
	if host == "*" {
		return hostPattern{wild: true, labels: true}, nil
	}
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '*':
		case c >= 0x80:
			return hostPattern{}, fmt.Errorf("%q has a host that is not ASCII: write it as browsers send it, with xn--…", text)
		default:
			return hostPattern{}, fmt.Errorf("%q has %q in its host, and no origin has: write [SCHEME://]HOST[:PORT]", text, c)
		}
	}
	first, rest, _ := strings.Cut(host, ".")
	if first == "" || strings.Contains(rest, "..") || strings.HasPrefix(rest, ".") {
		return hostPattern{}, fmt.Errorf("%q has no valid host: write [SCHEME://]HOST[:PORT]", text)
	}
	prefix, suffix, wild := strings.Cut(first, "*")
	switch {
	case strings.Contains(rest, "*"), strings.Contains(suffix, "*"):
		return hostPattern{}, fmt.Errorf("%q has a * where none can be: write one in the first label of the host, as in *.example.com", text)
	case !wild:
		return hostPattern{prefix: host}, nil
	case first == "*" && rest != "":
		return hostPattern{suffix: "." + rest, wild: true, labels: true}, nil
	case !strings.Contains(rest, "."): // *example.com has evilexample.com too
		return hostPattern{}, fmt.Errorf("%q would allow hosts of other owners: write *. and a domain of yours, as in *.example.com", text)
	}
	return hostPattern{prefix: prefix, suffix: suffix + "." + rest, wild: true}, nil
}

// parseOrigin reads an Origin header. False for one that is opaque ("null") or no origin.
func parseOrigin(header string) (origin, bool) {
	u, err := url.Parse(header)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		return origin{}, false
	}
	return makeOrigin(u.Scheme, u.Host), true
}

// makeOrigin is the origin of a scheme, in lower case, and a host with or without a port.
func makeOrigin(scheme, authority string) origin {
	u := url.URL{Host: strings.ToLower(authority)}
	o := origin{scheme: scheme, host: u.Hostname(), port: u.Port()}
	if strings.Contains(o.host, ":") {
		o.host = "[" + o.host + "]"
	}
	if o.port == "" {
		o.port = defaultPort(scheme)
	}
	return o
}

// defaultPort is the port that an origin of the scheme leaves out.
func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// isScheme says whether text has the form of a scheme, RFC 3986 section 3.1, in lower case.
func isScheme(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return text != ""
}
