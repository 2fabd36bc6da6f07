package streams

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"

	"roost/schemas"
	"roost/streams/subject"
)

// Stamps makes ids of messages that say, to who has the key, who sent the message to
// whom: the last 48 bits of an id are a MAC of the others, its sender and its
// receiver. So an update of somebody else's message is told from one of the sender's
// own, however long ago that was and whatever is stored of it. All gateways of a
// cluster have one key. Methods may be called concurrently.
type Stamps struct {
	clock *Clock
	macs  sync.Pool // of *stamper
}

// stamper has what one computation needs.
type stamper struct {
	mac  hash.Hash
	room [stampAt + 2*128 + 2 + 28]byte // two users, or a user and a group
}

// stampAt is where in an id the MAC begins.
const stampAt = 10

// Of bucket KEYS.
const (
	stampKey      = "message_ids"
	stampKeyBytes = 32
)

// Stamps reads the cluster's key, which the first gateway makes.
func (c *Conn) Stamps(ctx context.Context) (*Stamps, error) {
	kv, err := c.bucket(ctx, subject.Keys)
	if err != nil {
		return nil, err
	}
	// It is read first: the server takes a key that it cannot read for none, and would
	// replace it.
	e, err := kv.Get(ctx, stampKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		key := make([]byte, stampKeyBytes)
		_, _ = rand.Read(key) // never fails since Go 1.24
		if _, err = kv.Create(ctx, stampKey, key); err == nil {
			return newStamps(c.clock, key), nil
		}
		if !errors.Is(err, jetstream.ErrKeyExists) {
			return nil, fmt.Errorf("failed to write %s/%s: %w", subject.Keys, stampKey, err)
		}
		e, err = kv.Get(ctx, stampKey)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to read %s/%s: %w", subject.Keys, stampKey, err)
	}
	if len(e.Value()) != stampKeyBytes {
		return nil, fmt.Errorf("%s/%s has %d bytes, not %d", subject.Keys, stampKey, len(e.Value()), stampKeyBytes)
	}
	return newStamps(c.clock, e.Value()), nil
}

func newStamps(clock *Clock, key []byte) *Stamps {
	return &Stamps{clock: clock, macs: sync.Pool{New: func() any { return &stamper{mac: hmac.New(sha256.New, key)} }}}
}

// Next makes the id of a message from sender to a participant.
func (s *Stamps) Next(sender schemas.UserID, to schemas.Participant) schemas.MessageID {
	id := s.clock.stamped()
	s.stamp(&id, sender, to)
	return schemas.MessageID(id.String())
}

// Made says whether id is that of a message from sender to that participant.
func (s *Stamps) Made(id schemas.MessageID, sender schemas.UserID, to schemas.Participant) bool {
	parsed, err := ulid.ParseStrict(string(id))
	if err != nil {
		return false
	}
	want := parsed
	s.stamp(&want, sender, to)
	return hmac.Equal(want[:], parsed[:])
}

// stamp fills in the MAC of the rest. No id of a user has a NUL.
func (s *Stamps) stamp(id *ulid.ULID, sender schemas.UserID, to schemas.Participant) {
	one := s.macs.Get().(*stamper)
	defer s.macs.Put(one)
	b := append(one.room[:0], id[:stampAt]...)
	b = append(b, sender...)
	b = append(b, 0)
	b = append(b, to.User...)
	b = append(b, 0)
	b = append(b, to.Group...)
	one.mac.Reset()
	one.mac.Write(b) // never fails
	copy(id[stampAt:], one.mac.Sum(b[:0]))
}
