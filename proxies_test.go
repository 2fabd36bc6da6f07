package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roost/schemas"
)

// proxy is a program in front of Roost, set up as docs/operations.md prints it.
type proxy struct {
	block    string // the language of its block
	programs []string
	config   string // a format around the block
	args     func(config string) []string
	roost    []string // flags of Roost beside those of all proxies
	inside   int      // the status of paths that are not for strangers
}

// around is the rest of a configuration, that an installation has already. %[1]s is the
// block, %[2]s a directory.
const (
	aroundNginx = "daemon off;\nmaster_process off;\npid %[2]s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n" +
		"client_body_temp_path %[2]s;\nproxy_temp_path %[2]s;\nfastcgi_temp_path %[2]s;\nuwsgi_temp_path %[2]s;\nscgi_temp_path %[2]s;\n%[1]s}\n"
	aroundHAProxy = "global\n    maxconn 100\n%[1]s"
	aroundCaddy   = "{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system %[2]s\n}\n%[1]s"
	aroundApache  = "ServerRoot %[2]s\nDefaultRuntimeDir %[2]s\nPidFile %[2]s/pid\nErrorLog %[2]s/error.log\nServerName localhost\nListen %[3]s\n" +
		"LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\nLoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n" +
		"LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so\n" +
		"LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\nLoadModule http2_module /usr/lib/apache2/modules/mod_http2.so\n" +
		"LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so\nLoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so\n" +
		"User www-data\nGroup www-data\n%[1]s"
)

func proxies(cert, key string) []proxy {
	return []proxy{
		{block: "nginx", programs: []string{"nginx"}, config: aroundNginx, inside: http.StatusNotFound,
			args: func(c string) []string { return []string{"-c", c, "-e", "stderr"} }},
		{block: "haproxy", programs: []string{"haproxy"}, config: aroundHAProxy, inside: http.StatusNotFound,
			args: func(c string) []string { return []string{"-db", "-f", c} }},
		{block: "haproxy-tcp", programs: []string{"haproxy"}, config: aroundHAProxy, inside: http.StatusOK,
			args:  func(c string) []string { return []string{"-db", "-f", c} },
			roost: []string{"--proxy-protocol", "--tls-cert", cert, "--tls-key", key}},
		{block: "caddyfile", programs: []string{"caddy"}, config: aroundCaddy, inside: http.StatusNotFound,
			args: func(c string) []string { return []string{"run", "--adapter", "caddyfile", "--config", c} }},
		{block: "apache", programs: []string{"apache2", "httpd"}, config: aroundApache, inside: http.StatusForbidden,
			args: func(c string) []string { return []string{"-f", c, "-DFOREGROUND"} }},
	}
}

// program finds an installed program, also where only root has it in the path.
func program(names []string) string {
	for _, name := range names {
		for _, candidate := range []string{name, "/usr/sbin/" + name} {
			if path, err := exec.LookPath(candidate); err == nil {
				return path
			}
		}
	}
	return ""
}

// printed is a block of docs/operations.md, by its language.
func printed(t *testing.T, language string) string {
	t.Helper()
	doc, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$").FindSubmatch(doc)
	if m == nil {
		t.Fatalf("docs/operations.md has no block of %s", language)
	}
	return string(m[1])
}

// TestProxies runs Roost behind each proxy that is installed, with the block of
// docs/operations.md. Only addresses and paths are replaced.
func TestProxies(t *testing.T) {
	cert, key, trusting := testCertificate(t)
	for _, p := range proxies(cert, key) {
		t.Run(p.block, func(t *testing.T) {
			path := program(p.programs)
			if path == "" {
				if os.Getenv("PROXIES") == "required" {
					t.Fatalf("%v is not installed", p.programs)
				}
				t.Skipf("%v is not installed; make proxies installs it", p.programs)
			}
			dir := t.TempDir()
			s := serveLimited(t, dir, append([]string{"--trusted-proxies", "127.0.0.1", "--logins-per-second", "0.01"}, p.roost...)...)
			front := freeAddress(t)
			p.start(t, path, front, s.url[strings.LastIndex(s.url, "/")+1:], cert, key)
			checkProxy(t, &behind{t: t, front: front, trusting: trusting, token: token(t, dir, "alice")}, p.inside)
		})
	}
}

// serveLimited is serve with the limits of an installation.
func serveLimited(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	return start(t, append([]string{"serve", "--data-dir", dir, "--http", "127.0.0.1:0", "--min-free-disk", "0"}, args...)...)
}

// start runs the proxy until the test ends.
func (p proxy) start(t *testing.T, path, front, back, cert, key string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxy") // Apache's children, of another user, have to enter it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var both []byte
	for _, file := range []string{cert, key} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, data...)
	}
	pem, config := filepath.Join(dir, "chat.pem"), filepath.Join(dir, "config")
	block := strings.NewReplacer("127.0.0.1:8080", back, "listen 443", "listen "+front, "bind :443", "bind "+front, "*:443", front,
		"/etc/ssl/chat/fullchain.pem", cert, "/etc/ssl/chat/privkey.pem", key, "/etc/ssl/chat/chat.pem", pem,
		"chat.example.com {\n", "https://chat.example.com:"+front[strings.LastIndex(front, ":")+1:]+" {\n\tbind 127.0.0.1\n\ttls "+cert+" "+key+"\n",
	).Replace(printed(t, p.block))
	for file, data := range map[string][]byte{pem: both, config: fmt.Appendf(nil, p.config, block, dir, front)} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	cmd := exec.Command(path, p.args(config)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // its log says why
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // so that its children end too
		late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		<-ended
		if t.Failed() {
			t.Logf("%s logged:\n%s", p.block, tail(log.String(), 4000))
		}
	})
	eventually(t, p.block+" listens", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", p.block, &log)
		default:
		}
		c, err := net.DialTimeout("tcp", front, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// behind is the clients' side of a proxy.
type behind struct {
	t        *testing.T
	front    string
	trusting *http.Client
	token    string
}

// client is one at an address of loopback.
func (b *behind) client(address string, http2 bool) *http.Client {
	base := b.trusting.Transport.(*http.Transport)
	transport := &http.Transport{TLSClientConfig: base.TLSClientConfig.Clone(), ForceAttemptHTTP2: http2,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
			return d.DialContext(ctx, network, b.front)
		}}
	b.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: timeout}
}

func (b *behind) host() string {
	return "chat.example.com:" + b.front[strings.LastIndex(b.front, ":")+1:]
}

// do is one request of a client that lies about who it is.
func (b *behind) do(from, method, path, body, lie string) (status int, proto string, answer []byte) {
	b.t.Helper()
	req, err := http.NewRequest(method, "https://"+b.host()+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+b.token)
	if lie != "" {
		req.Header.Set("X-Forwarded-For", lie)
		req.Header.Set("Forwarded", "for="+lie)
	}
	resp, err := b.client(from, true).Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, resp.Proto, answer
}

// checkProxy looks at all that a proxy has to do.
func checkProxy(t *testing.T, b *behind, inside int) {
	t.Helper()
	if status, proto, body := b.do("127.0.0.9", "GET", "/healthz", "", ""); status != http.StatusOK || proto != "HTTP/2.0" {
		t.Errorf("healthz: %d over %s: %s", status, proto, body)
	}
	for _, path := range []string{"/metrics", "/readyz", "/%6Detrics"} {
		if status, _, _ := b.do("127.0.0.9", "GET", path, "", ""); status != inside {
			t.Errorf("%s: %d", path, status)
		}
	}
	login := func(from, lie string) int {
		status, _, _ := b.do(from, "POST", "/sessions", `{"user_id":"bob","password":"none of his"}`, lie)
		return status
	}
	if got := login("127.0.0.9", "203.0.113.1"); got != http.StatusUnauthorized {
		t.Errorf("the first log-in: %d", got)
	}
	if got := login("127.0.0.9", "203.0.113.2"); got != http.StatusTooManyRequests {
		t.Errorf("the client chose its own address: %d", got)
	}
	if got := login("127.0.0.9", ""); got != http.StatusTooManyRequests {
		t.Errorf("the client's lie changed its address: %d", got)
	}
	if got := login("127.0.0.8", ""); got != http.StatusUnauthorized {
		t.Errorf("the log-in of another client: %d", got)
	}
	if status, _, body := b.do("127.0.0.9", "GET", "/export", "", ""); status != http.StatusOK || !bytes.Contains(body, []byte(`"kind":"end"`)) {
		t.Errorf("the export: %d %s", status, body)
	}
	checkSocket(t, b)
}

// checkSocket opens a WebSocket as a page of the same origin does, and as one of another.
func checkSocket(t *testing.T, b *behind) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	dial := func(origin string) (*websocket.Conn, error) {
		ws, _, err := websocket.Dial(ctx, "wss://"+b.host()+"/ws", &websocket.DialOptions{
			HTTPClient: b.client("127.0.0.9", false), HTTPHeader: http.Header{"Origin": {origin}}})
		return ws, err
	}
	if ws, err := dial("https://evil.example"); err == nil {
		_ = ws.CloseNow()
		t.Error("a page of another origin connected")
	}
	ws, err := dial("https://" + b.host())
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	if err := ws.Write(ctx, websocket.MessageText, schemas.EncodeFrame(&schemas.Hello{Token: b.token, DeviceName: "x"})); err != nil {
		t.Fatal(err)
	}
	_, data, err := ws.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := schemas.DecodeServerFrame(data); err != nil || f.Type() != schemas.TypeWelcome {
		t.Errorf("got %s %v", data, err)
	}
}
