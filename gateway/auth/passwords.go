package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"roost/schemas"
)

// Accounts hashes and checks the passwords of built-in accounts, and issues their tokens.
type Accounts struct {
	tokens *Tokens
	hashes *queue
}

// NewAccounts returns Accounts that sign their tokens with t.
func NewAccounts(t *Tokens) *Accounts { return &Accounts{tokens: t, hashes: newQueue()} }

// Issue signs a token for a user.
func (a *Accounts) Issue(u schemas.UserID) (schemas.Token, error) { return a.tokens.Issue(u) }

// Refused counts the requests that were refused because too many passwords waited.
func (a *Accounts) Refused() int64 { return a.hashes.refused.Load() }

// Parameters of argon2id: OWASP's second recommendation, 19 MiB and two passes.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32
)

// NoPassword is the hash for a log-in to an account that does not exist, so that it takes
// as long as one to an account that does. No password fits it.
var NoPassword = phc(make([]byte, argonSalt), make([]byte, argonKey))

// phc writes a salt and a key as a PHC string.
func phc(salt, key []byte) string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, argonMemory, argonTime, argonThreads, enc.EncodeToString(salt), enc.EncodeToString(key))
}

// Hash returns the PHC string of a password. It fails with [schemas.CodeUnavailable] if too
// many passwords wait.
func (a *Accounts) Hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never fails since Go 1.24
	if err := a.hashes.enter(ctx); err != nil {
		return "", err
	}
	defer a.hashes.leave()
	return phc(salt, argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)), nil
}

// Check reports whether a password fits a PHC string, with the parameters in that string.
// It fails with [schemas.CodeUnavailable] if too many passwords wait.
func (a *Accounts) Check(ctx context.Context, password, hash string) (bool, error) {
	var version int
	var memory, passes uint32
	var threads uint8
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errors.New("a stored password hash is not argon2id")
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &threads); err != nil || version != argon2.Version {
		return false, errors.New("a stored password hash has unknown parameters")
	}
	salt, errSalt := base64.RawStdEncoding.DecodeString(parts[4])
	want, errKey := base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(errSalt, errKey); err != nil || len(want) == 0 {
		return false, errors.New("a stored password hash cannot be read")
	}
	if err := a.hashes.enter(ctx); err != nil {
		return false, err
	}
	defer a.hashes.leave()
	have := argon2.IDKey([]byte(password), salt, passes, memory, threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(have, want) == 1, nil
}
