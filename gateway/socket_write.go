package gateway

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
	// writeTimeout bounds one write to a client that does not read.
	writeTimeout = 5 * time.Second
	// closeTimeout bounds the wait for the client's close frame, and for the answers
	// to what a client sent before its own.
	closeTimeout = 5 * time.Second
	// restTimeout and maxRest bound what the server reads and throws away after a
	// frame that broke the protocol.
	restTimeout = time.Second
	maxRest     = 1 << 20
)

var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, writeChunk); return &b }}

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

// ping asks the client for a pong, which read takes as a sign of life.
func (s *socket) ping() error { return s.writeFrame(ws.OpPing, nil) }

func (s *socket) writeFrame(op ws.OpCode, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closeSent {
		return nil
	}
	return s.flush(appendFrame(nil, op, payload))
}

// close sends a close frame, the last frame of this side; without a code if that is
// [ws.StatusNoStatusRcvd]. Reading goes on until the client's, for at most closeTimeout.
func (s *socket) close(code ws.StatusCode, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closeSent {
		return nil
	}
	s.closeSent = true
	_ = s.conn.SetReadDeadline(time.Now().Add(closeTimeout))
	var body []byte
	if code != ws.StatusNoStatusRcvd {
		body = ws.NewCloseFrameBody(code, closeReason(reason))
	}
	return s.flush(appendFrame(nil, ws.OpClose, body))
}

// closeReason is as much of a reason as a close frame has room for, in whole characters.
func closeReason(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), ws.MaxControlFramePayloadSize-2)], "")
}

func (s *socket) flush(b []byte) error {
	if len(b) == 0 {
		return nil
	}
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
