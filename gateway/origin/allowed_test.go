package origin_test

import (
	"strings"
	"testing"

	"roost/gateway/origin"
)

// origins reads values of --allowed-origins.
func origins(t testing.TB, values ...string) origin.Allowed {
	t.Helper()
	list, err := origin.ParseAllowed(values)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestOriginsAllow names which Origin headers a value stands for.
func TestOriginsAllow(t *testing.T) {
	for _, c := range []struct {
		value, normal string
		allowed       []string
		refused       []string
	}{
		{"https://a.example", "https://a.example",
			[]string{"https://a.example", "https://a.example:443", "HTTPS://A.EXAMPLE"},
			[]string{"http://a.example", "https://a.example:8443", "https://b.example", "https://www.a.example",
				"https://a.example.evil.example", "https://evila.example", "https://a.example/", "https://me@a.example", "null", "a.example"}},
		{"HTTPS://A.Example:443/", "https://a.example", []string{"https://a.example"}, []string{"http://a.example:443"}},
		{"http://a.example:80", "http://a.example", []string{"http://a.example", "http://a.example:80"}, []string{"https://a.example"}},
		{"https://a.example:80", "https://a.example:80", []string{"https://a.example:80"}, []string{"https://a.example"}},
		{"a.example", "a.example", []string{"https://a.example", "http://a.example"}, []string{"https://a.example:8443", "http://b.a.example"}},
		{"a.example:443", "a.example:443", []string{"https://a.example", "http://a.example:443"}, []string{"http://a.example"}},
		{"http://localhost:03000", "http://localhost:3000", []string{"http://localhost:3000"}, []string{"http://localhost"}},
		{"http://localhost:*", "http://localhost:*", []string{"http://localhost:3000", "http://localhost"}, []string{"https://localhost:3000", "http://127.0.0.1:3000"}},
		{"http://[::0001]:3000", "http://[::0001]:3000", []string{"http://[::1]:3000"}, []string{"http://[::2]:3000"}},
		{"[::1]:3000", "[::1]:3000", []string{"http://[::1]:3000", "https://[::1]:3000"}, []string{"http://[::1]"}},
		{"[::1]", "[::1]", []string{"http://[::1]"}, []string{"http://[::1]:3000"}},
		{"*.a.example", "*.a.example", []string{"https://x.a.example", "http://x.y.a.example"},
			[]string{"https://a.example", "https://.a.example", "https://xa.example", "https://x.a.example:8443"}},
		{"https://app-*.a.example", "https://app-*.a.example", []string{"https://app-1.a.example", "https://app-.a.example"},
			[]string{"https://app-1.evil.a.example", "https://app-1.b.example"}},
		{"https://*", "https://*", []string{"https://a.example"}, []string{"http://a.example", "https://a.example:8443"}},
		{"*", "*", []string{"https://a.example", "null", "http://x:1"}, nil},
		{"capacitor://localhost", "capacitor://localhost", []string{"capacitor://localhost"}, []string{"http://localhost"}},
		{"chrome-extension://abcdef", "chrome-extension://abcdef", []string{"chrome-extension://abcdef"}, []string{"chrome-extension://other"}},
	} {
		list := origins(t, c.value)
		if list.String() != c.normal {
			t.Errorf("%s is normalised to %s, not %s", c.value, list, c.normal)
		}
		for _, header := range c.allowed {
			if !list.Has(header) {
				t.Errorf("%s does not allow %s", c.value, header)
			}
		}
		for _, header := range c.refused {
			if list.Has(header) {
				t.Errorf("%s allows %s", c.value, header)
			}
		}
	}
}

// TestOriginsRefused covers the values that no Origin header can match, or that would allow
// hosts of strangers. Each is refused with a sentence that quotes it.
func TestOriginsRefused(t *testing.T) {
	for value, says := range map[string]string{
		"null":                    "serve your page from a host",
		"NULL":                    "serve your page from a host",
		"https://a.example/chat":  `leave out "/chat"`,
		"a.example/chat":          `leave out "/chat"`,
		"https://a.example/?q":    `leave out "/?q"`,
		"https://a.example#x":     `leave out "#x"`,
		"https://*.a.example/*":   `leave out "/*"`,
		"https://me@a.example":    "user",
		"wss://a.example":         "https://",
		"ws://a.example:8080":     "http://",
		"*://a.example":           "leave the scheme out",
		"htt*://a.example":        "leave the scheme out",
		"://a.example":            "scheme",
		"https://":                "host",
		"https:a.example":         "port",
		"file:///home":            "host",
		"https://a.example:0":     "1 to 65535",
		"https://a.example:65536": "1 to 65535",
		"https://a.example:x":     "1 to 65535",
		"https://a.example:":      "1 to 65535",
		"a.*.example":             "first label",
		"a.*":                     "first label",
		"*.*.example":             "first label",
		"**.a.example":            "first label",
		"*a.example":              "other owners",
		"app-*.example":           "other owners",
		"a?.example":              "leave out",
		"[ab].example":            "IPv6",
		"[1.2.3.4]":               "IPv6",
		"http://[fe80::1%eth0]":   "IPv6",
		"a b.example":             "in its host",
		"https://bücher.example":  "xn--",
		"a..example":              "host",
		".example":                "host",
		`"https://a.example"`:     "scheme",
	} {
		list, err := origin.ParseAllowed([]string{"https://good.example", value})
		if err == nil {
			t.Errorf("%s is taken, as %s", value, list)
			continue
		}
		if text := err.Error(); !strings.Contains(text, says) || !strings.Contains(strings.ToLower(text), strings.Trim(strings.ToLower(value), `"`)) {
			t.Errorf("%s is refused with %q, which lacks %q or the value", value, text, says)
		}
	}
}

// TestOriginsWithCommas reads a list from one value, from several, with blanks and with none.
func TestOriginsWithCommas(t *testing.T) {
	for _, values := range [][]string{
		{"https://a.example,b.example"},
		{" https://a.example , b.example "},
		{"https://a.example", "", "b.example"},
		{"https://a.example,,b.example,"},
		{"https://a.example,\nb.example"},
	} {
		if list := origins(t, values...); list.String() != "https://a.example,b.example" {
			t.Errorf("%q is %s", values, list)
		}
	}
	if list := origins(t, "", " ", ","); list.String() != "" || list.Has("https://a.example") {
		t.Errorf("nothing is %q", list)
	}
}

// FuzzOrigins reads any value and any header without a panic, and reads again what it wrote.
func FuzzOrigins(f *testing.F) {
	f.Add("https://*.a.example:443/", "https://x.a.example")
	f.Add("[::1]:*", "http://[::1]:3000")
	f.Add("null", "null")
	f.Fuzz(func(t *testing.T, value, header string) {
		list, err := origin.ParseAllowed([]string{value})
		if err != nil {
			return
		}
		again, err := origin.ParseAllowed([]string{list.String()})
		if err != nil || again.String() != list.String() {
			t.Fatalf("%q is %q, and that is %q (%v)", value, list, again, err)
		}
		if list.Has(header) != again.Has(header) {
			t.Fatalf("%q and %q differ on %q", value, list, header)
		}
	})
}
