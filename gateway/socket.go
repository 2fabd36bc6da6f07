package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"golang.org/x/time/rate"

	"roost/schemas"
)

// socket is the server's side of one WebSocket: whole messages in, batches of
// messages out. An idle socket holds one small buffer. A busy one borrows a larger
// buffer of the process for reads, and another for each write. One goroutine reads;
// any may write.
type socket struct {
	// Static after adopt.
	conn   net.Conn
	frames *rate.Limiter // of all frames, control frames and fragments included; nil for no limit

	heard atomic.Int64 // unix nanoseconds of the last frame of any kind

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

// refusedError is why the server failed the WebSocket: the client broke RFC 6455, or
// sent a message that is too big.
type refusedError struct {
	code   ws.StatusCode
	reason string
}

func (e refusedError) Error() string { return e.reason }

// errTopBit refuses a length that RFC 6455, section 5.2, rules out.
var errTopBit = errors.New("the most significant bit of a 64-bit length is set")

// adopt takes a connection after its handshake, and the bytes that the client sent
// after its request.
func (s *socket) adopt(conn net.Conn, early []byte) {
	s.conn, s.buf = conn, s.small[:]
	s.heard.Store(time.Now().UnixNano())
	s.room(len(early))
	s.w = copy(s.buf, early)
	s.received = s.w
}

// lastHeard is when the last frame came, or the connection.
func (s *socket) lastHeard() time.Time { return time.Unix(0, s.heard.Load()) }

// read returns the next message; its bytes are valid until the next call. It answers
// pings. It waits before each frame as the limit on frames demands, at most until ctx
// ends. An error ends the WebSocket:
//  1. [closedError]: the client sent a close frame. The caller answers it with close.
//  2. [refusedError]: the client was told, and the server's half of the connection ended.
//  3. Another error: the connection is lost, or ctx ended.
func (s *socket) read(ctx context.Context) (ws.OpCode, []byte, error) {
	var kind ws.OpCode
	var whole []byte // of a fragmented message
	state := ws.StateServerSide
	for {
		h, err := s.nextHeader(ctx, state, len(whole))
		if err != nil {
			return 0, nil, err
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
			continue
		case h.Fin && !state.Fragmented():
			return s.message(h.OpCode, payload)
		case !state.Fragmented():
			kind, state = h.OpCode, state.Set(ws.StateFragmented)
		}
		whole = append(whole, payload...)
		if h.Fin {
			return s.message(kind, whole)
		}
	}
}

// message hands a whole message over, if text is UTF-8.
func (s *socket) message(kind ws.OpCode, payload []byte) (ws.OpCode, []byte, error) {
	if kind == ws.OpText && !utf8.Valid(payload) {
		return 0, nil, s.refuse(ws.StatusInvalidFramePayloadData, "text is not valid UTF-8")
	}
	return kind, payload, nil
}

// nextHeader waits for its turn and reads the header of a frame that may come now. A
// message of which so many bytes were read may not grow beyond the limit; control
// frames do not count.
func (s *socket) nextHeader(ctx context.Context, state ws.State, read int) (ws.Header, error) {
	if s.frames != nil {
		if err := s.frames.Wait(ctx); err != nil {
			return ws.Header{}, err
		}
	}
	s.chooseBuffer()
	h, err := s.header()
	if errors.Is(err, errTopBit) {
		return h, s.refuse(ws.StatusProtocolError, err.Error())
	} else if err != nil {
		return h, err
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return h, s.refuse(ws.StatusProtocolError, err.Error())
	}
	if !h.OpCode.IsControl() && h.Length > int64(schemas.MaxFrameBytes-read) {
		return h, s.refuse(ws.StatusMessageTooBig, "the message is too big")
	}
	s.heard.Store(time.Now().UnixNano())
	return h, nil
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
		n := binary.BigEndian.Uint64(b[2:])
		if n>>63 != 0 {
			return h, errTopBit
		}
		h.Length = int64(n)
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

// control does what a control frame asks for.
func (s *socket) control(op ws.OpCode, payload []byte) error {
	switch op {
	case ws.OpPing:
		return s.writeFrame(ws.OpPong, payload)
	case ws.OpClose:
		if len(payload) == 0 {
			s.over = true
			return closedError{ws.StatusNoStatusRcvd}
		}
		code, reason := ws.ParseCloseFrameData(payload)
		switch {
		case len(payload) < 2 || !mayClose(code):
			return s.refuse(ws.StatusProtocolError, "the close frame has a code that no client may send")
		case !utf8.ValidString(reason):
			return s.refuse(ws.StatusInvalidFramePayloadData, "the reason of the close frame is not valid UTF-8")
		}
		s.over = true
		return closedError{code}
	}
	return nil
}

// mayClose says whether a close frame may carry the code: one of RFC 6455 and the
// IANA registry, of a library (3000–3999) or of an application (4000–4999).
func mayClose(code ws.StatusCode) bool {
	switch code {
	case 1004, ws.StatusNoStatusRcvd, ws.StatusAbnormalClosure, ws.StatusTLSHandshake:
		return false
	}
	return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
}

// refuse fails the WebSocket: it sends a close frame and ends the server's half of
// the connection, so that the client sees the end at once.
func (s *socket) refuse(code ws.StatusCode, reason string) error {
	s.over = true
	_ = s.close(code, reason)
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	s.rest()
	return refusedError{code, reason}
}

// rest throws away what follows: were it left unread, the kernel would reset the
// connection, and the close frame might not reach the client.
func (s *socket) rest() {
	_ = s.conn.SetReadDeadline(time.Now().Add(restTimeout))
	_, _ = io.CopyN(io.Discard, s.conn, maxRest)
}

// linger waits, after close, for the client's close frame.
func (s *socket) linger() {
	s.mu.Lock()
	sent := s.closeSent
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	for sent && !s.over {
		if _, _, err := s.read(ctx); err != nil {
			return
		}
	}
}
