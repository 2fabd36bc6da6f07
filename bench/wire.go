package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/gobwas/ws"
)

// maxServerFrame bounds a frame of the server: the protocol promises 64 KiB.
const maxServerFrame = 64 << 10

// appendFrame appends a masked frame around the payload that build appends. The
// payload is shorter than 64 KiB.
func appendFrame(dst []byte, op ws.OpCode, build func([]byte) []byte) []byte {
	// Room for the longest head; a short payload is moved up afterwards.
	const longest = 8
	begin := len(dst)
	dst = append(dst, make([]byte, longest)...)
	dst = build(dst)
	size := len(dst) - begin - longest
	head := longest
	if size < 126 {
		head = 6
		copy(dst[begin+head:], dst[begin+longest:])
		dst = dst[:begin+head+size]
		dst[begin+1] = 0x80 | byte(size)
	} else {
		dst[begin+1] = 0x80 | 126
		binary.BigEndian.PutUint16(dst[begin+2:], uint16(size))
	}
	dst[begin] = 0x80 | byte(op)
	var mask [4]byte
	binary.LittleEndian.PutUint32(mask[:], rand.Uint32())
	copy(dst[begin+head-4:], mask[:])
	ws.Cipher(dst[begin+head:], mask, 0)
	return dst
}

var errMasked = errors.New("the server sent a masked or fragmented frame")

// cutFrame takes the first frame off buf. size is its length in buf, or 0 while it is
// incomplete.
func cutFrame(buf []byte) (op ws.OpCode, payload []byte, size int, err error) {
	if len(buf) < 2 {
		return 0, nil, 0, nil
	}
	if buf[0]&0xf0 != 0x80 || buf[1]&0x80 != 0 {
		return 0, nil, 0, errMasked
	}
	head, length := 2, int(buf[1])
	switch {
	case length == 126 && len(buf) < 4, length == 127 && len(buf) < 10:
		return 0, nil, 0, nil
	case length == 126:
		head, length = 4, int(binary.BigEndian.Uint16(buf[2:]))
	case length == 127:
		n := binary.BigEndian.Uint64(buf[2:])
		if n > maxServerFrame {
			return 0, nil, 0, fmt.Errorf("the server sent a frame of %d bytes", n)
		}
		head, length = 10, int(n)
	}
	if len(buf) < head+length {
		return 0, nil, 0, nil
	}
	return ws.OpCode(buf[0] & 0x0f), buf[head : head+length], head + length, nil
}

// Names of fields as they occur in a frame.
var (
	fieldType      = []byte(`"type":"`)
	fieldMessageID = []byte(`"message_id":"`)
	fieldSender    = []byte(`"sender_id":"`)
	fieldNumber    = []byte(`"message_id_by_client":`)
	fieldCursor    = []byte(`"cursor":"`)
	fieldContent   = []byte(`"content":"`)
	fieldCode      = []byte(`"code":"`)
	fieldMessage   = []byte(`"message":"`)
	fieldDevice    = []byte(`"device_id":"`)
	fieldHeartbeat = []byte(`"heartbeat_ms":`)
	fieldLast      = []byte(`"last_message_id_by_client":`)
)

// textField returns the text of a field up to the next quote: ids and contents of this
// package contain none. It returns nil if the field is missing.
func textField(frame, name []byte) []byte {
	at := bytes.Index(frame, name)
	if at < 0 {
		return nil
	}
	rest := frame[at+len(name):]
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return nil
	}
	return rest[:end]
}

// numberField returns a field of digits, or 0 if it is missing.
func numberField(frame, name []byte) int64 {
	at := bytes.Index(frame, name)
	if at < 0 {
		return 0
	}
	rest := frame[at+len(name):]
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, _ := parseInt(rest[:end])
	return n
}
