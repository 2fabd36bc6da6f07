package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"roost/schemas"
)

// testCertificate writes a certificate for 127.0.0.1 with its key, and returns a client
// that trusts it.
func testCertificate(t *testing.T) (cert, key string, trusting *http.Client) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	pair := s.TLS.Certificates[0]
	pkcs8, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trusting = s.Client()
	trusting.Timeout = timeout
	t.Cleanup(trusting.CloseIdleConnections)
	return cert, key, trusting
}

// TestServeTLS: HTTP over HTTP/2, and a WebSocket beside it.
func TestServeTLS(t *testing.T) {
	cert, key, trusting := testCertificate(t)
	dir := t.TempDir()
	s := serve(t, dir, "", "--tls-cert", cert, "--tls-key", key, "--hsts", "1h")
	if !strings.HasPrefix(s.url, "https://") {
		t.Errorf("it says that it serves %s", s.url)
	}
	resp, err := trusting.Get(s.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Strict-Transport-Security") != "max-age=3600" {
		t.Errorf("got %d %v", resp.StatusCode, resp.Header)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, strings.Replace(s.url, "https", "wss", 1)+"/ws", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: trusting.Transport.(*http.Transport).TLSClientConfig}}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	if err := ws.Write(ctx, websocket.MessageText, schemas.EncodeFrame(&schemas.Hello{Token: token(t, dir, "alice"), DeviceName: "x"})); err != nil {
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
