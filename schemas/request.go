package schemas

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// Requests are the last requests of a user that make something and came with an
// Idempotency-Key, in bucket REQUESTS: a retry of one finds the id that the first one
// reserved, and makes the same thing or nothing.
type Requests struct {
	Requests []Request `json:"requests"` // oldest first, at most MaxRequests, none older than RequestMemory
}

// Request is one of [Requests].
type Request struct {
	Route   string `json:"route"`    // method and pattern of the path
	KeyHash string `json:"key_hash"` // of the Idempotency-Key, see [NewRequest]
	// RequestHash is of path and body: a retry has the same. Empty of an account, which
	// is compared by its password.
	RequestHash string `json:"request_hash,omitempty"`
	// ID is that of what the request makes, without the "g-" of a group. Its time is
	// when the request came first.
	ID MessageID `json:"id"`
}

// Limits of requests with an Idempotency-Key.
const (
	IdempotencyKeyHeader   = "Idempotency-Key"
	MaxIdempotencyKeyBytes = 128
	MaxRequests            = 64                  // of a user; the oldest go
	RequestMemory          = 24 * 60 * 60 * 1000 // ms for which a request is remembered
)

// ValidateIdempotencyKey accepts 1 to MaxIdempotencyKeyBytes visible characters of ASCII.
func ValidateIdempotencyKey(key string) *Error {
	ok := len(key) > 0 && len(key) <= MaxIdempotencyKeyBytes
	for i := 0; i < len(key); i++ {
		ok = ok && '!' <= key[i] && key[i] <= '~'
	}
	if !ok {
		return InvalidField(IdempotencyKeyHeader, "has 1 to %d visible ASCII characters, without spaces.", MaxIdempotencyKeyBytes)
	}
	return nil
}

// NewRequest is the request of a body under a key, which a client made up, without its
// ID. How the body was written as JSON makes no difference.
func NewRequest(route, key, path string, body any) Request {
	return Request{Route: route, KeyHash: shortHash(route, key), RequestHash: shortHash(path, string(Encode(body)))}
}

// Find finds a request under the same key, as long as it is remembered at the time now.
func (r Requests) Find(q Request, now Timestamp) (Request, bool) {
	for _, one := range r.Requests {
		if one.KeyHash == q.KeyHash && one.remembered(now) {
			return one, true
		}
	}
	return Request{}, false
}

// With adds a request, and forgets the oldest ones.
func (r Requests) With(q Request, now Timestamp) Requests {
	kept := make([]Request, 0, len(r.Requests)+1)
	for _, one := range r.Requests {
		if one.remembered(now) {
			kept = append(kept, one)
		}
	}
	kept = append(kept, q)
	return Requests{Requests: kept[max(0, len(kept)-MaxRequests):]}
}

func (q Request) remembered(now Timestamp) bool { return now-q.ID.Time() < RequestMemory }

// ErrOtherRequest says that the Idempotency-Key was used for something else.
func ErrOtherRequest() *Error {
	return Errorf(CodeConflict, "%s: was used for another request. Make a new key for each thing that you want made.", IdempotencyKeyHeader)
}

// shortHash is 16 bytes of SHA-256 over some texts, in base64url.
func shortHash(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = appendPart(b, p)
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// AccountKey is what an [Account] keeps of the Idempotency-Key that it was made with.
func AccountKey(key string) string { return shortHash("POST /accounts", key) }

// MadeWith says whether the account was made, within RequestMemory, by a request with
// that key.
func (a Account) MadeWith(key string, now Timestamp) bool {
	return key != "" && a.KeyHash == AccountKey(key) && now-a.CreatedAt < RequestMemory
}

// GroupID is the id of the group that the request makes.
func (q Request) GroupID() GroupID { return GroupID(fmt.Sprintf("%s%s", groupPrefix, q.ID)) }
