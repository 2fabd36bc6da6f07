package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/renameio/v2"
)

// maxKeys bounds the keys of a set: a token that names no key is tried with each.
const maxKeys = 64

// errPrivateKey refuses a file with more than the public keys.
var errPrivateKey = errors.New("it holds a private key or a secret; Roost needs the public keys alone")

// parsedKeys are the keys of a set that can check a signature.
type parsedKeys struct {
	usable  []jose.JSONWebKey
	ignored int  // of an unknown type, damaged, private, or not for signatures
	private bool // one of them is private, or a secret
}

// parseKeys parses a JSON Web Key Set. It ignores keys that it does not understand (RFC 7517,
// section 5).
func parseKeys(data []byte) (p parsedKeys, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return p, fmt.Errorf("it is not a JSON Web Key Set: %w", err)
	}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		switch err := key.UnmarshalJSON(raw); {
		case err != nil || key.IsPublic() && (!key.Valid() || key.Use == "enc"):
			p.ignored++
		case !key.IsPublic():
			p.ignored, p.private = p.ignored+1, true
		case len(p.usable) == maxKeys:
			return p, fmt.Errorf("it has more than %d keys", maxKeys)
		default:
			key.Certificates, key.CertificatesURL = nil, nil
			p.usable = append(p.usable, key)
		}
	}
	if len(p.usable) == 0 {
		return p, fmt.Errorf("it has no public key that Roost can use (RSA, EC or Ed25519); %d are ignored", p.ignored)
	}
	return p, nil
}

// readKeyFile reads the key set of an operator.
func readKeyFile(path string) (parsedKeys, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return parsedKeys{}, fmt.Errorf("failed to read the key set: %w", err)
	}
	keys, err := parseKeys(data)
	if keys.private {
		err = errPrivateKey
	}
	if err != nil {
		return parsedKeys{}, fmt.Errorf("failed to read the key set %s: %w", path, err)
	}
	return keys, nil
}

// keyCache is the content of the cache file. URL is where the keys are from: a provider's keys
// are not valid for another provider.
type keyCache struct {
	URL     string            `json:"url"`
	Fetched time.Time         `json:"fetched"`
	Keys    []jose.JSONWebKey `json:"keys"`
}

// loadKeyCache reads the keys that were fetched from url before. It returns none if there is
// no such file, or if the file has keys of another URL.
func loadKeyCache(path, url string) (keys []jose.JSONWebKey, fetched time.Time, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fetched, nil
	}
	if err != nil {
		return nil, fetched, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fetched, err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fetched, fmt.Errorf("%s can be written by others (mode %04o), who could add their own key; run chmod 600 on it", path, info.Mode().Perm())
	}
	var head struct {
		URL     string    `json:"url"`
		Fetched time.Time `json:"fetched"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fetched, fmt.Errorf("%s is damaged: %w", path, err)
	}
	if head.URL != url {
		return nil, fetched, nil
	}
	parsed, err := parseKeys(data)
	if err != nil {
		return nil, fetched, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return parsed.usable, head.Fetched, nil
}

// saveKeyCache replaces the file atomically. Only its owner can read it.
func saveKeyCache(path string, c keyCache) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, data, 0o600, renameio.WithStaticPermissions(0o600))
}
