package msgid

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"

	"github.com/oklog/ulid/v2"

	"roost/schemas"
)

// Signer makes and verifies signed ids: the last 48 bits of such an id are a MAC of its
// other bits, the sender and the receiver. So a gateway verifies that the sender of an
// update sent the message that it changes, at any time and without a read. All gateways
// of a cluster have one key. Methods may be called concurrently.
type Signer struct {
	clock *Clock
	macs  sync.Pool // of *computation
}

// computation has what one MAC needs.
type computation struct {
	mac  hash.Hash
	room [macAt + 2*128 + 2 + 28]byte // two users, or a user and a group
}

// macAt is where in an id the MAC begins.
const macAt = 10

// KeySize is the length of a key in bytes.
const KeySize = 32

// NewKey makes a key at random.
func NewKey() []byte {
	key := make([]byte, KeySize)
	_, _ = rand.Read(key) // never fails since Go 1.24
	return key
}

// NewSigner makes a Signer with the time of a clock. It fails if the key does not have
// [KeySize] bytes.
func NewSigner(clock *Clock, key []byte) (*Signer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("the key of message ids has %d bytes, not %d", len(key), KeySize)
	}
	return &Signer{clock: clock, macs: sync.Pool{New: func() any { return &computation{mac: hmac.New(sha256.New, key)} }}}, nil
}

// Sign makes the id of a new message from sender to a user or group.
func (s *Signer) Sign(sender schemas.UserID, to schemas.Participant) schemas.MessageID {
	id := s.clock.unsigned()
	s.fill(&id, sender, to)
	return schemas.MessageID(id.String())
}

// Verify says whether Sign made the id for a message from sender to that user or group.
func (s *Signer) Verify(id schemas.MessageID, sender schemas.UserID, to schemas.Participant) bool {
	parsed, err := ulid.ParseStrict(string(id))
	if err != nil {
		return false
	}
	want := parsed
	s.fill(&want, sender, to)
	return hmac.Equal(want[:], parsed[:])
}

// fill writes the MAC of the other bits into id. It separates the names with NUL, which
// no name has.
func (s *Signer) fill(id *ulid.ULID, sender schemas.UserID, to schemas.Participant) {
	one := s.macs.Get().(*computation)
	defer s.macs.Put(one)
	b := append(one.room[:0], id[:macAt]...)
	b = append(b, sender...)
	b = append(b, 0)
	b = append(b, to.User...)
	b = append(b, 0)
	b = append(b, to.Group...)
	one.mac.Reset()
	one.mac.Write(b) // never fails
	copy(id[macAt:], one.mac.Sum(b[:0]))
}
