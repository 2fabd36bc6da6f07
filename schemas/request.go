package schemas

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// Requests holds the last requests of a user with an Idempotency-Key, in bucket REQUESTS. A
// retry finds the id that the first request reserved, so it creates nothing twice.
type Requests struct {
	Requests []Request `json:"requests"` // oldest first, at most MaxRequests, none older than RequestMemory
}

// Request is one of [Requests].
type Request struct {
	Route   string `json:"route"`    // method and pattern of the path
	KeyHash string `json:"key_hash"` // of the Idempotency-Key, see [NewRequest]
	// RequestHash is the hash of path and body: a retry has the same. It is empty for an
	// account, because there the server compares the password.
	RequestHash string `json:"request_hash,omitempty"`
	// ID is the reserved id of the new thing, without the "g-" of a group. Its time is
	// the time of the first request.
	ID MessageID `json:"id"`
}

// Limits of requests with an Idempotency-Key.
const (
	IdempotencyKeyHeader   = "Idempotency-Key"
	MaxIdempotencyKeyBytes = 128
	MaxRequests            = 64                  // per user; more evict the oldest
	RequestMemory          = 24 * 60 * 60 * 1000 // in ms; then a request expires
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

// NewRequest returns the request for a body under a client's key, without its ID. The form of
// the JSON body does not affect it.
func NewRequest(route, key, path string, body any) Request {
	return Request{Route: route, KeyHash: shortHash(route, key), RequestHash: shortHash(path, string(Encode(body)))}
}

// Find returns the request with the same key, unless it has expired at the time now.
func (r Requests) Find(q Request, now Timestamp) (Request, bool) {
	for _, one := range r.Requests {
		if one.KeyHash == q.KeyHash && !one.expired(now) {
			return one, true
		}
	}
	return Request{}, false
}

// With returns r with another request, without expired requests and without the oldest ones
// over MaxRequests.
func (r Requests) With(q Request, now Timestamp) Requests {
	kept := make([]Request, 0, len(r.Requests)+1)
	for _, one := range r.Requests {
		if !one.expired(now) {
			kept = append(kept, one)
		}
	}
	kept = append(kept, q)
	return Requests{Requests: kept[max(0, len(kept)-MaxRequests):]}
}

func (q Request) expired(now Timestamp) bool { return now-q.ID.Time() >= RequestMemory }

// ErrOtherRequest returns the error of an Idempotency-Key that was used for another request.
func ErrOtherRequest() *Error {
	return Errorf(CodeConflict, "%s: was used for another request. Use a new key for each thing to create.", IdempotencyKeyHeader)
}

// shortHash returns the first 16 bytes of the SHA-256 of the parts, in base64url.
func shortHash(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = appendPart(b, p)
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// AccountKey returns the hash of the Idempotency-Key that an [Account] keeps.
func AccountKey(key string) string { return shortHash("POST /accounts", key) }

// CreatedWith reports whether a request with that key created the account within
// RequestMemory.
func (a Account) CreatedWith(key string, now Timestamp) bool {
	return key != "" && a.KeyHash == AccountKey(key) && now-a.CreatedAt < RequestMemory
}

// GroupID returns the id of the group that the request creates.
func (q Request) GroupID() GroupID { return GroupID(fmt.Sprintf("%s%s", groupPrefix, q.ID)) }
