package streams

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"

	"roost/schemas"
	"roost/streams/subject"
)

// position is what a cursor says: this device has everything up to pos, and the
// entries of sent, which lie behind it. The live path is a shortcut around the
// stream, so a gateway may have sent entry 11 and never have heard of entry 10;
// "everything up to 11" would then lose 10. See docs/decisions/0001.
type position struct {
	pos  uint64
	sent []uint64 // ascending, all larger than pos
}

// has says whether the device has the entry with that sequence.
func (p position) has(seq uint64) bool {
	if seq <= p.pos {
		return true
	}
	_, ok := slices.BinarySearch(p.sent, seq)
	return ok
}

// cursorKey ties a cursor to one device's inbox in one life of its stream:
// sequences start again when a stream is made anew.
type cursorKey uint32

func newCursorKey(a subject.Address, streamCreated int64) cursorKey {
	h := fnv.New32a()
	h.Write([]byte(a.User.Token()))
	h.Write([]byte(a.Device))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(streamCreated)))
	return cursorKey(h.Sum32())
}

const (
	cursorVersion = 1
	// maxSequence is beyond what a stream reaches, and leaves room to add to it.
	maxSequence = 1 << 62
)

// errForeignCursor: well-formed, but of another device or another life of the
// stream.
var errForeignCursor = errors.New("the cursor is of another inbox")

// errBadCursor: nothing that [cursorKey.encode] ever wrote.
var errBadCursor = errors.New("this is no cursor that the server gave out")

// maxCursorSent bounds position.sent in a cursor. The entries beyond it are
// delivered once more to who resumes there.
const maxCursorSent = 2 * schemas.MaxInFlight

// encode writes version, key, pos and the steps from entry to entry in
// base64url.
func (k cursorKey) encode(p position) schemas.Cursor {
	var buf [64]byte
	b := append(buf[:0], cursorVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(k))
	b = binary.AppendUvarint(b, p.pos)
	last := p.pos
	for _, seq := range p.sent[:min(len(p.sent), maxCursorSent)] {
		b = binary.AppendUvarint(b, seq-last)
		last = seq
	}
	return schemas.Cursor(base64.RawURLEncoding.EncodeToString(b))
}

// decode reads what encode wrote.
func (k cursorKey) decode(c schemas.Cursor) (position, error) {
	b, err := base64.RawURLEncoding.DecodeString(string(c))
	if err != nil || len(b) < 6 || b[0] != cursorVersion {
		return position{}, errBadCursor
	}
	foreign := cursorKey(binary.BigEndian.Uint32(b[1:])) != k
	b = b[5:]
	var p position
	for last, first := uint64(0), true; len(b) > 0; first = false {
		step, n := binary.Uvarint(b)
		if n <= 0 || step > maxSequence-last || !first && step == 0 {
			return position{}, errBadCursor
		}
		b = b[n:]
		last += step
		if first {
			p.pos = last
		} else {
			p.sent = append(p.sent, last)
		}
	}
	if len(p.sent) > maxCursorSent {
		return position{}, errBadCursor
	}
	if foreign {
		return position{}, errForeignCursor
	}
	return p, nil
}

// CheckCursor says why text is no cursor of any inbox, which Open would refuse.
func CheckCursor(c schemas.Cursor) error {
	if _, err := cursorKey(0).decode(c); c != "" && errors.Is(err, errBadCursor) {
		return err
	}
	return nil
}

// IsBadCursor tells callers of Open and AcknowledgeUpTo a wrong cursor from a fault.
func IsBadCursor(err error) bool {
	return errors.Is(err, errBadCursor) || errors.Is(err, errForeignCursor)
}
