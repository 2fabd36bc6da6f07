package gateway

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"roost/schemas"
)

const (
	// smallBuffer is what a connection waits with; most frames fit into it.
	smallBuffer = 256
	// busyBuffer is what a connection reads with while more comes at a time.
	busyBuffer = 4 << 10
	// writeChunk is about how many bytes go out in one write.
	writeChunk = 16 << 10
	// writeTimeout bounds one write to a client that does not read.
	writeTimeout = 5 * time.Second
	// closeTimeout bounds the wait for the client's close frame.
	closeTimeout = 5 * time.Second
	// maxRest bounds what is read and thrown away behind a frame that broke the
	// protocol.
	maxRest = 1 << 20
)

// socket is the server's side of one WebSocket: whole messages in, batches of
// messages out. It has buffers of its own only while there is more to read than
// one small frame; what it writes goes through a buffer of the process. One
// goroutine reads; any may write.
type socket struct {
	conn net.Conn

	// Owned by the reader.
	buf      []byte // small, *busy, or one for a single large frame
	r, w     int    // buf[r:w] was received and not yet read
	received int    // bytes since the buffer was chosen
	busy     *[busyBuffer]byte
	over     bool // no frame can follow: the client closed, or broke the protocol
	small    [smallBuffer]byte

	mu        sync.Mutex // guards the rest, and the order of frames on the wire
	closeSent bool
}

// closedError is the close frame of the client.
type closedError struct{ code ws.StatusCode }

func (e closedError) Error() string { return "the client closed the WebSocket" }

// errTooBig: a message over schemas.MaxFrameBytes.
var errTooBig = errors.New("the message is too big")

var (
	busyBuffers  = sync.Pool{New: func() any { return new([busyBuffer]byte) }}
	writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, writeChunk); return &b }}
)

// adopt takes a connection after its handshake, and what was read behind it.
func (s *socket) adopt(conn net.Conn, early []byte) {
	s.conn, s.buf = conn, s.small[:]
	s.room(len(early))
	s.w = copy(s.buf, early)
	s.received = s.w
}

// read returns the next message; its bytes are valid until the next call. Pings
// are answered on the way. An error ends the WebSocket: [closedError] for the
// client's close frame, which was answered, [errTooBig] and [ws.ProtocolError],
// of which the client was told, or that of the connection.
func (s *socket) read() (ws.OpCode, []byte, error) {
	s.chooseBuffer()
	var kind ws.OpCode
	var whole []byte // of a fragmented message
	state := ws.StateServerSide
	for {
		h, err := s.header()
		if err != nil {
			return 0, nil, err
		}
		if err := ws.CheckHeader(h, state); err != nil {
			return 0, nil, s.refuse(ws.StatusProtocolError, err)
		}
		if h.Length > schemas.MaxFrameBytes-int64(len(whole)) {
			return 0, nil, s.refuse(ws.StatusMessageTooBig, errTooBig)
		}
		payload, err := s.payload(h)
		if err != nil {
			return 0, nil, err
		}
		switch {
		case h.OpCode.IsControl():
			if err := s.control(h.OpCode, payload); err != nil {
				return 0, nil, err
			}
		case h.Fin && !state.Fragmented():
			return h.OpCode, payload, nil
		default:
			if !state.Fragmented() {
				kind, state = h.OpCode, state.Set(ws.StateFragmented)
			}
			whole = append(whole, payload...)
			if h.Fin {
				return kind, whole, nil
			}
		}
	}
}

// header reads a frame's header.
func (s *socket) header() (h ws.Header, err error) {
	if err := s.fill(2); err != nil {
		return h, err
	}
	b := s.buf[s.r:s.w]
	h = ws.Header{Fin: b[0]&0x80 != 0, Rsv: b[0] >> 4 & 7, OpCode: ws.OpCode(b[0] & 15), Masked: b[1]&0x80 != 0, Length: int64(b[1] & 127)}
	size := 2
	switch h.Length {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	mask := size
	if h.Masked {
		size += 4
	}
	if err := s.fill(size); err != nil {
		return h, err
	}
	b = s.buf[s.r:s.w]
	switch h.Length {
	case 126:
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		h.Length = int64(binary.BigEndian.Uint64(b[2:]) &^ (1 << 63))
	}
	if h.Masked {
		copy(h.Mask[:], b[mask:])
	}
	s.r += size
	return h, nil
}

// payload reads a frame's payload, of at most schemas.MaxFrameBytes.
func (s *socket) payload(h ws.Header) ([]byte, error) {
	n := int(h.Length)
	if err := s.fill(n); err == io.EOF {
		return nil, io.ErrUnexpectedEOF
	} else if err != nil {
		return nil, err
	}
	p := s.buf[s.r : s.r+n : s.r+n]
	s.r += n
	ws.Cipher(p, h.Mask, 0)
	return p, nil
}

// fill receives until n bytes are unread.
func (s *socket) fill(n int) error {
	for s.w-s.r < n {
		s.room(n)
		got, err := s.conn.Read(s.buf[s.w:])
		s.w += got
		s.received += got
		if err != nil && s.w-s.r < n {
			if err == io.EOF && s.w > s.r {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// room makes the buffer large enough for n unread bytes, and more to come.
func (s *socket) room(n int) {
	if s.r == s.w {
		s.r, s.w = 0, 0
	}
	if s.r+n <= len(s.buf) && s.w < len(s.buf) {
		return
	}
	unread, larger := s.buf[s.r:s.w], s.buf
	switch {
	case n > busyBuffer:
		larger = make([]byte, n)
	case n > len(s.buf) || s.busy == nil:
		s.busy = busyBuffers.Get().(*[busyBuffer]byte)
		larger = s.busy[:]
	}
	s.r, s.w, s.buf = 0, copy(larger, unread), larger
}

// chooseBuffer takes the buffer to wait with: the small one where the last
// messages would have fitted into it, and then an idle connection holds no other.
func (s *socket) chooseBuffer() {
	if s.r < s.w {
		return
	}
	s.r, s.w = 0, 0
	if s.received <= smallBuffer {
		s.release()
		s.buf = s.small[:]
	} else if s.busy != nil {
		s.buf = s.busy[:]
	}
	s.received = 0
}

func (s *socket) release() {
	if s.busy != nil {
		busyBuffers.Put(s.busy)
		s.busy = nil
	}
}

// control does what a control frame asks for.
func (s *socket) control(op ws.OpCode, payload []byte) error {
	switch op {
	case ws.OpPing:
		return s.writeFrame(ws.OpPong, payload)
	case ws.OpClose:
		code, reason := ws.ParseCloseFrameData(payload)
		if len(payload) == 0 {
			code = ws.StatusNoStatusRcvd
		} else if err := ws.CheckCloseFrameData(code, reason); err != nil {
			return s.refuse(ws.StatusProtocolError, err)
		}
		s.over = true
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closeSent {
			s.closeSent = true
			_ = s.flush(appendFrame(nil, ws.OpClose, payload[:min(len(payload), 2)])) // they are leaving anyway
		}
		return closedError{code}
	}
	return nil
}

// refuse closes for what the client did against the protocol.
func (s *socket) refuse(code ws.StatusCode, err error) error {
	s.over = true
	_ = s.close(code, err.Error())
	s.rest()
	return err
}

// rest throws away what follows: were it left unread, the kernel would reset the
// connection, and the close frame might not reach the client.
func (s *socket) rest() {
	_ = s.conn.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, s.conn, maxRest)
}

// linger waits, after close, for the client's close frame.
func (s *socket) linger() {
	s.mu.Lock()
	sent := s.closeSent
	s.mu.Unlock()
	for sent && !s.over {
		if _, _, err := s.read(); err != nil {
			return
		}
	}
}

// write sends text messages in as few writes as their size allows.
func (s *socket) write(messages [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closeSent {
		return net.ErrClosed
	}
	buf := writeBuffers.Get().(*[]byte)
	defer writeBuffers.Put(buf)
	b := (*buf)[:0]
	for _, m := range messages {
		if len(b) > 0 && len(b)+ws.MaxHeaderSize+len(m) > writeChunk {
			if err := s.flush(b); err != nil {
				return err
			}
			b = b[:0]
		}
		b = appendFrame(b, ws.OpText, m)
	}
	return s.flush(b)
}

func (s *socket) writeFrame(op ws.OpCode, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closeSent {
		return nil
	}
	return s.flush(appendFrame(nil, op, payload))
}

// close sends a close frame, the last frame of this side. Reading goes on until
// the client's, for at most closeTimeout.
func (s *socket) close(code ws.StatusCode, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closeSent {
		return nil
	}
	s.closeSent = true
	_ = s.conn.SetReadDeadline(time.Now().Add(closeTimeout))
	return s.flush(appendFrame(nil, ws.OpClose, ws.NewCloseFrameBody(code, reason)))
}

func (s *socket) flush(b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

// appendFrame appends an unmasked frame.
func appendFrame(b []byte, op ws.OpCode, payload []byte) []byte {
	b = append(b, 0x80|byte(op))
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}
