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
// Handshakes look at the files at most once a second and read them again after they
// changed. If they cannot be read then, the old certificate stays in use, with a
// warning.
func CertificateFiles(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	f := &certificateFiles{cert: certFile, key: keyFile, log: log, warn: rate.Sometimes{Interval: time.Second}}
	if err := f.load(); err != nil {
		return nil, err
	}
	return &tls.Config{GetCertificate: f.get}, nil
}

// ACME gets a certificate for one host from an ACME authority, and renews it 30 days
// before it expires. The authority proves the host by a TLS connection to its port 443
// (tls-alpn-01), which has to end at this server. Keys and certificates are kept in dir.
// directory is the URL of the authority, by default Let's Encrypt.
func ACME(host, dir, directory string, client *http.Client) (*tls.Config, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("failed to make the directory for certificates: %w", err)
	}
	m := &autocert.Manager{Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(dir), HostPolicy: autocert.HostWhitelist(host),
		Client: &acme.Client{DirectoryURL: directory, HTTPClient: client}}
	return m.TLSConfig(), nil
}

// checkFilesEvery is how often the files of a certificate are looked at.
const checkFilesEvery = time.Second

// certificateFiles is a certificate that follows its files.
type certificateFiles struct {
	cert, key string
	log       *slog.Logger
	warn      rate.Sometimes

	mu      sync.Mutex // guards the rest
	current *tls.Certificate
	infos   [2]os.FileInfo // of the files that current was read from
	looked  time.Time
}

// get implements [tls.Config.GetCertificate].
func (f *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) < checkFilesEvery {
		return f.current, nil
	}
	if err := f.load(); err != nil {
		f.warn.Do(func() {
			f.log.Warn("the changed TLS certificate cannot be used; the one of before stays", "error", err)
		})
	}
	return f.current, nil
}

// load reads the files if they are others than before. The caller holds mu, or is the
// only one who knows f.
func (f *certificateFiles) load() error {
	f.looked = time.Now()
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
		f.log.Warn("the TLS certificate is not valid; clients will refuse it", "file", f.cert, "error", err)
	}
	if f.current != nil {
		f.log.Info("the TLS certificate was read again", "file", f.cert, "expires", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	f.current, f.infos = &pair, infos
	return nil
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
