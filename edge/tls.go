package edge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/time/rate"
)

// CertificateFiles serves the certificate chain of one PEM file with the key of another.
// Handshakes check the files at most once a second and reload them after a change. If the
// reload fails, the server logs a warning and keeps the old certificate.
func CertificateFiles(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	f := &certificateFiles{cert: certFile, key: keyFile, log: log, warn: rate.Sometimes{Interval: time.Second}}
	if err := f.load(); err != nil {
		return nil, err
	}
	return &tls.Config{GetCertificate: f.get}, nil
}

// ACME gets a certificate for one host from an ACME authority, and renews it 30 days
// before it expires. The authority opens a TLS connection to port 443 of the host
// (tls-alpn-01), and this server must terminate it. ACME stores keys and certificates in
// dir. The directory is the URL of the authority, by default that of Let's Encrypt.
func ACME(host, dir, directory string, client *http.Client) (*tls.Config, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("failed to create the directory for certificates: %w", err)
	}
	m := &autocert.Manager{Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(dir), HostPolicy: autocert.HostWhitelist(host),
		Client: &acme.Client{DirectoryURL: directory, HTTPClient: client}}
	return m.TLSConfig(), nil
}

// checkFilesEvery is the time between two checks of the files of a certificate.
const checkFilesEvery = time.Second

// certificateFiles is a certificate that is reloaded after its files change.
type certificateFiles struct {
	cert, key string
	log       *slog.Logger
	warn      rate.Sometimes

	mu      sync.Mutex // guards the rest
	current *tls.Certificate
	infos   [2]os.FileInfo // of the files that hold current
	checked time.Time      // the last check of the files
}

// get implements [tls.Config.GetCertificate].
func (f *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) < checkFilesEvery {
		return f.current, nil
	}
	if err := f.load(); err != nil {
		f.warn.Do(func() {
			f.log.Warn("failed to reload the TLS certificate; the old one stays in use", "error", err)
		})
	}
	return f.current, nil
}

// load reads the files if they changed. The caller holds mu, or has not shared f yet.
func (f *certificateFiles) load() error {
	f.checked = time.Now()
	var infos [2]os.FileInfo
	changed := f.current == nil
	for i, path := range []string{f.cert, f.key} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("failed to read the TLS certificate: %w", err)
		}
		infos[i] = info
		changed = changed || !sameFile(info, f.infos[i])
	}
	if !changed {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("failed to read the TLS certificate %s with the key %s: %w", f.cert, f.key, err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		err = errors.New("it expired at " + pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
		f.log.Warn("the TLS certificate has expired; clients will refuse it", "file", f.cert, "error", err)
	}
	if f.current != nil {
		f.log.Info("reloaded the TLS certificate", "file", f.cert, "expires", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	f.current, f.infos = &pair, infos
	return nil
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
