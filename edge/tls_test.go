package edge_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roost/edge"
)

// certificate makes a self-signed certificate in PEM.
func certificate(t *testing.T, serial int64, host string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// files writes a certificate and its key.
func files(t *testing.T, dir string, cert, key []byte) (certFile, keyFile string) {
	t.Helper()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, data := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		written = written.Add(time.Second) // some file systems round the time, and two writes would have the same
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// written is the modification time of the file that was written last.
var written = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestCertificateReload: the server uses a new certificate within a second. If it cannot load
// the new one, it keeps the old one.
func TestCertificateReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cert, key := certificate(t, 1, "chat.example")
		certFile, keyFile := files(t, dir, cert, key)
		var log bytes.Buffer
		config, err := edge.CertificateFiles(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		serial := func() int64 {
			t.Helper()
			c, err := config.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			return c.Leaf.SerialNumber.Int64()
		}
		if got := serial(); got != 1 {
			t.Errorf("the certificate is %d", got)
		}
		next, nextKey := certificate(t, 2, "chat.example")
		files(t, dir, next, key) // the key does not match yet
		time.Sleep(time.Second)
		if got := serial(); got != 1 || !strings.Contains(log.String(), "level=WARN") {
			t.Errorf("with a key of another certificate: %d\n%s", got, &log)
		}
		files(t, dir, next, nextKey)
		if got := serial(); got != 1 {
			t.Errorf("the files are read within the same second")
		}
		time.Sleep(time.Second)
		if got := serial(); got != 2 {
			t.Errorf("after the change the certificate is %d", got)
		}
		if err := os.Remove(certFile); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := serial(); got != 2 {
			t.Errorf("without the file the certificate is %d", got)
		}
	})
}

// secured serves a handler over TLS on the loopback address.
func secured(t *testing.T, config *tls.Config, change func(*edge.Options), h http.Handler) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o, _ := options(t, change)
	o.TLS = config
	s := edge.New(l, o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(h) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Shutdown(ctx)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr()
}

// TestHTTPS: HTTPS over HTTP/2 and HTTP/1.1 sends HSTS, and HTTP/2 does not offer WebSocket.
func TestHTTPS(t *testing.T) {
	cert, key := certificate(t, 1, "chat.example")
	certFile, keyFile := files(t, t.TempDir(), cert, key)
	config, err := edge.CertificateFiles(certFile, keyFile, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	address := secured(t, config, func(o *edge.Options) { o.HSTS, o.MaxConnections = 90*24*time.Hour, 2 },
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })).String()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	trust := &tls.Config{RootCAs: roots, ServerName: "chat.example"}
	for _, c := range []struct {
		http2 bool
		proto string
	}{{true, "HTTP/2.0"}, {false, "HTTP/1.1"}} {
		transport := &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: c.http2}
		resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("https://" + address)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		transport.CloseIdleConnections()
		if err != nil || string(body) != c.proto || resp.Header.Get("Strict-Transport-Security") != "max-age=7776000" {
			t.Errorf("got %q %v %v", body, resp.Header, err)
		}
	}
	noExtendedConnect(t, address, trust)
}

// noExtendedConnect checks that HTTP/2 does not offer WebSocket (RFC 8441), so browsers
// open a WebSocket with HTTP/1.1.
func noExtendedConnect(t *testing.T, address string, trust *tls.Config) {
	t.Helper()
	config := trust.Clone()
	config.NextProtos = []string{"h2"}
	c, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 9)
	if _, err := io.ReadFull(c, head); err != nil || head[3] != 4 {
		t.Fatalf("the first frame is %x: %v", head, err)
	}
	settings := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(c, settings); err != nil {
		t.Fatal(err)
	}
	for ; len(settings) >= 6; settings = settings[6:] {
		if id, value := binary.BigEndian.Uint16(settings), binary.BigEndian.Uint32(settings[2:]); id == 8 && value != 0 {
			t.Error("the server offers the extended CONNECT")
		}
	}
}

// TestACME: the server serves a stored certificate for its host only, and answers the
// challenge of the authority. The test contacts no authority.
func TestACME(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "acme")
	asked := &http.Client{Transport: refuseAll{t}}
	config, err := edge.ACME("chat.example.com", dir, "https://127.0.0.1:1/directory", asked)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := certificate(t, 7, "chat.example.com")
	if err := os.WriteFile(filepath.Join(dir, "chat.example.com"), append(key, cert...), 0o600); err != nil {
		t.Fatal(err)
	}
	address := secured(t, config, nil, http.NotFoundHandler()).String()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	dial := func(host string) error {
		c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: host, NextProtos: []string{"h2"}})
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	if err := dial("chat.example.com"); err != nil {
		t.Error(err)
	}
	if dial("other.example.com") == nil {
		t.Error("another host got a certificate")
	}
	if !slices.Contains(config.NextProtos, "acme-tls/1") {
		t.Errorf("the challenge is not answered: %v", config.NextProtos)
	}
}

// refuseAll is a network in which no authority answers.
type refuseAll struct{ t *testing.T }

func (r refuseAll) RoundTrip(req *http.Request) (*http.Response, error) {
	r.t.Errorf("the authority was asked for %s", req.URL)
	return nil, net.ErrClosed
}

// TestConnectionBoundWithTLS: the server closes a connection over the bound without an answer.
func TestConnectionBoundWithTLS(t *testing.T) {
	cert, key := certificate(t, 1, "chat.example")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	address := secured(t, &tls.Config{Certificates: []tls.Certificate{pair}}, func(o *edge.Options) { o.MaxConnections = 1 }, http.NotFoundHandler()).String()
	first, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	_ = second.SetDeadline(time.Now().Add(10 * time.Second))
	if n, err := second.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
		t.Errorf("got %d bytes, %v", n, err)
	}
}
