package cursor

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"

	"roost/schemas"
	"roost/streams/subject"
)

// Position says that a device has all entries up to UpTo, and the entries of Sent, which
// have larger sequences. Live delivery overtakes the stream: a gateway may have sent entry
// 11 before it learned of entry 10. "All entries up to 11" would then lose entry 10. See
// docs/decisions/0001.
type Position struct {
	UpTo uint64
	Sent []uint64 // ascending, all larger than UpTo
}

// Has says whether the device has the entry with that sequence.
func (p Position) Has(seq uint64) bool {
	if seq <= p.UpTo {
		return true
	}
	_, ok := slices.BinarySearch(p.Sent, seq)
	return ok
}

// Key ties a cursor to the inbox of one device in one stream: sequences start again
// when a stream is created again.
type Key uint32

// NewKey makes the key of a device's inbox in the stream that was created at that time,
// in nanoseconds since 1970.
func NewKey(a subject.Address, streamCreated int64) Key {
	h := fnv.New32a()
	h.Write([]byte(a.User.Token()))
	h.Write([]byte(a.Device))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(streamCreated)))
	return Key(h.Sum32())
}

const (
	version = 1
	// maxSequence is larger than any sequence of a stream, and leaves room to add to it.
	maxSequence = 1 << 62
	// maxSent bounds Position.Sent in a cursor. Entries over the bound are redelivered to
	// a device that resumes with it.
	maxSent = 2 * schemas.MaxInFlight
)

// ErrForeign says that a cursor is well-formed, but for another device or an earlier
// stream.
var ErrForeign = errors.New("the cursor is of another inbox")

// ErrMalformed says that [Key.Encode] never wrote a cursor like that.
var ErrMalformed = errors.New("this is no cursor that the server gave out")

// Encode writes version, key, Position.UpTo and the steps from entry to entry in
// base64url.
func (k Key) Encode(p Position) schemas.Cursor {
	var buf [64]byte
	b := append(buf[:0], version)
	b = binary.BigEndian.AppendUint32(b, uint32(k))
	b = binary.AppendUvarint(b, p.UpTo)
	last := p.UpTo
	for _, seq := range p.Sent[:min(len(p.Sent), maxSent)] {
		b = binary.AppendUvarint(b, seq-last)
		last = seq
	}
	return schemas.Cursor(base64.RawURLEncoding.EncodeToString(b))
}

// Decode reads a cursor. The error is ErrMalformed or ErrForeign.
func (k Key) Decode(c schemas.Cursor) (Position, error) {
	b, err := base64.RawURLEncoding.DecodeString(string(c))
	if err != nil || len(b) < 6 || b[0] != version {
		return Position{}, ErrMalformed
	}
	foreign := Key(binary.BigEndian.Uint32(b[1:])) != k
	b = b[5:]
	var p Position
	for last, first := uint64(0), true; len(b) > 0; first = false {
		step, n := binary.Uvarint(b)
		if n <= 0 || step > maxSequence-last || !first && step == 0 {
			return Position{}, ErrMalformed
		}
		b = b[n:]
		last += step
		if first {
			p.UpTo = last
		} else {
			p.Sent = append(p.Sent, last)
		}
	}
	if len(p.Sent) > maxSent {
		return Position{}, ErrMalformed
	}
	if foreign {
		return Position{}, ErrForeign
	}
	return p, nil
}

// Check returns ErrMalformed for a text that is no cursor of any inbox. The empty text
// passes: it means the beginning.
func Check(c schemas.Cursor) error {
	if _, err := Key(0).Decode(c); c != "" && errors.Is(err, ErrMalformed) {
		return err
	}
	return nil
}
