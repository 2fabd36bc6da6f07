package socket

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

// Socket is the server's side of one WebSocket. It reads whole messages and writes batches of
// messages. An idle Socket holds one small buffer. A busy one borrows a larger buffer for
// reads, and another for each write. One goroutine reads; any goroutine may write.
type Socket struct {
	// Static after Adopt.
	conn   net.Conn
	frames *rate.Limiter // of all frames, control frames and fragments included; nil without a limit

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

// ClosedError reports that the client sent a close frame.
type ClosedError struct{ Code ws.StatusCode }

func (e ClosedError) Error() string { return "the client closed the WebSocket" }

// RefusedError reports that the server ended the WebSocket, because the client violated
// RFC 6455 or sent a message that is too big.
type RefusedError struct {
	Code   ws.StatusCode
	Reason string
}

func (e RefusedError) Error() string { return e.Reason }

// errTopBit refuses a length that RFC 6455, section 5.2, rules out.
var errTopBit = errors.New("the most significant bit of a 64-bit length is set")

// Adopt takes over a connection after its handshake, and the bytes that the client sent after
// its request. frames limits all frames that are read; nil is no limit.
func (s *Socket) Adopt(conn net.Conn, early []byte, frames *rate.Limiter) {
	s.conn, s.frames, s.buf = conn, frames, s.small[:]
	s.heard.Store(time.Now().UnixNano())
	s.room(len(early))
	s.w = copy(s.buf, early)
	s.received = s.w
}

// LastHeard is when the last frame arrived, or the connection.
func (s *Socket) LastHeard() time.Time { return time.Unix(0, s.heard.Load()) }

// Read returns the next message. Its bytes are valid until the next call. Read answers pings.
// Before each frame it waits as the limit on frames demands, at most until ctx ends. An error
// ends the WebSocket:
//  1. [ClosedError]: the client sent a close frame. The caller answers it with Close.
//  2. [RefusedError]: Read sent a close frame and ended the server's half of the connection.
//  3. Another error: the connection is lost, or ctx ended.
func (s *Socket) Read(ctx context.Context) (ws.OpCode, []byte, error) {
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

// message returns a whole message. It refuses text that is not UTF-8.
func (s *Socket) message(kind ws.OpCode, payload []byte) (ws.OpCode, []byte, error) {
	if kind == ws.OpText && !utf8.Valid(payload) {
		return 0, nil, s.refuse(ws.StatusInvalidFramePayloadData, "text is not valid UTF-8")
	}
	return kind, payload, nil
}

// nextHeader waits as the limit demands, and reads the header of a frame that is legal in
// this state. With read bytes of a message so far, the message must not exceed the limit;
// control frames do not count.
func (s *Socket) nextHeader(ctx context.Context, state ws.State, read int) (ws.Header, error) {
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
func (s *Socket) header() (h ws.Header, err error) {
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
func (s *Socket) payload(h ws.Header) ([]byte, error) {
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

// control handles a control frame.
func (s *Socket) control(op ws.OpCode, payload []byte) error {
	switch op {
	case ws.OpPing:
		return s.writeFrame(ws.OpPong, payload)
	case ws.OpClose:
		if len(payload) == 0 {
			s.over = true
			return ClosedError{ws.StatusNoStatusRcvd}
		}
		code, reason := ws.ParseCloseFrameData(payload)
		switch {
		case len(payload) < 2 || !mayClose(code):
			return s.refuse(ws.StatusProtocolError, "the close frame has a code that no client may send")
		case !utf8.ValidString(reason):
			return s.refuse(ws.StatusInvalidFramePayloadData, "the reason of the close frame is not valid UTF-8")
		}
		s.over = true
		return ClosedError{code}
	}
	return nil
}

// mayClose reports whether a client may close with a code: one of RFC 6455 and the IANA
// registry, of a library (3000–3999) or of an application (4000–4999).
func mayClose(code ws.StatusCode) bool {
	switch code {
	case 1004, ws.StatusNoStatusRcvd, ws.StatusAbnormalClosure, ws.StatusTLSHandshake:
		return false
	}
	return code >= 1000 && code <= 1014 || code >= 3000 && code <= 4999
}

// refuse ends the WebSocket: it sends a close frame and ends the server's half of the
// connection, so that the client sees the end at once.
func (s *Socket) refuse(code ws.StatusCode, reason string) error {
	s.over = true
	_ = s.Close(code, reason)
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	s.discard()
	return RefusedError{code, reason}
}

// discard reads and drops what the client still sends. With unread bytes, the kernel would
// reset the connection, and the close frame might not reach the client.
func (s *Socket) discard() {
	_ = s.conn.SetReadDeadline(time.Now().Add(discardTimeout))
	_, _ = io.CopyN(io.Discard, s.conn, maxDiscard)
}

// Linger waits, after Close, for the client's close frame.
func (s *Socket) Linger() {
	s.mu.Lock()
	sent := s.closeSent
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), CloseTimeout)
	defer cancel()
	for sent && !s.over {
		if _, _, err := s.Read(ctx); err != nil {
			return
		}
	}
}

// CloseTCP closes the connection without a close frame. It may be called repeatedly.
func (s *Socket) CloseTCP() { _ = s.conn.Close() }

// Shrink lets the next wait use the small buffer, whatever was read before.
func (s *Socket) Shrink() { s.received = 0 }
