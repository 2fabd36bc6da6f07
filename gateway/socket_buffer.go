package gateway

import (
	"io"
	"sync"
)

const (
	// smallBuffer is the buffer of an idle connection; most frames fit into it.
	smallBuffer = 256
	// busyBuffer is what a connection reads with while more comes at a time.
	busyBuffer = 4 << 10
)

var busyBuffers = sync.Pool{New: func() any { return new([busyBuffer]byte) }}

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

// chooseBuffer takes the buffer to wait with: the small one if the last frames would
// have fitted into it. An idle connection then holds no other.
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

// release gives the larger buffer back.
func (s *socket) release() {
	if s.busy != nil {
		busyBuffers.Put(s.busy)
		s.busy = nil
	}
}
