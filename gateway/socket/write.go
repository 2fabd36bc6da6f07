package socket

import (
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

const (
	// writeChunk is about how many bytes go out in one write.
	writeChunk = 16 << 10
	// WriteTimeout bounds one write, also to a client that does not read.
	WriteTimeout = 5 * time.Second
	// CloseTimeout bounds the wait for the client's close frame, and for the answers to
	// sends before that frame.
	CloseTimeout = 5 * time.Second
	// discardTimeout and maxDiscard bound what the server reads and drops after a frame
	// that violates the protocol.
	discardTimeout = time.Second
	maxDiscard     = 1 << 20
)

var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, writeChunk); return &b }}

// Write sends text messages in as few writes as their size allows.
func (s *Socket) Write(messages [][]byte) error {
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

// Ping sends a ping. Read counts the pong as a sign of life.
func (s *Socket) Ping() error { return s.writeFrame(ws.OpPing, nil) }

func (s *Socket) writeFrame(op ws.OpCode, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closeSent {
		return nil
	}
	return s.flush(appendFrame(nil, op, payload))
}

// Close sends a close frame, the last frame of this side. With [ws.StatusNoStatusRcvd] the
// frame has no code. Reading continues until the client's close frame, at most CloseTimeout.
func (s *Socket) Close(code ws.StatusCode, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closeSent {
		return nil
	}
	s.closeSent = true
	_ = s.conn.SetReadDeadline(time.Now().Add(CloseTimeout))
	var body []byte
	if code != ws.StatusNoStatusRcvd {
		body = ws.NewCloseFrameBody(code, closeReason(reason))
	}
	return s.flush(appendFrame(nil, ws.OpClose, body))
}

// closeReason cuts a reason to the size of a close frame, between characters.
func closeReason(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), ws.MaxControlFramePayloadSize-2)], "")
}

func (s *Socket) flush(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(WriteTimeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

// appendFrame appends an unmasked frame to b.
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
