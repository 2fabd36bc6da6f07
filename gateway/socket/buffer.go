package socket

import (
	"io"
	"sync"
)

const (
	// smallBuffer is the buffer of an idle connection; most frames fit into it.
	smallBuffer = 256
	// busyBuffer is the buffer of a connection that receives more at a time.
	busyBuffer = 4 << 10
)

var busyBuffers = sync.Pool{New: func() any { return new([busyBuffer]byte) }}

// fill reads from the connection until n bytes are unread.
func (s *Socket) fill(n int) error {
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

// room makes the buffer large enough for n unread bytes, and for more.
func (s *Socket) room(n int) {
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

// chooseBuffer selects the buffer to wait with: the small one if the last frames fitted into
// it. So an idle connection holds no other.
func (s *Socket) chooseBuffer() {
	if s.r < s.w {
		return
	}
	s.r, s.w = 0, 0
	if s.received <= smallBuffer {
		s.Release()
		s.buf = s.small[:]
	} else if s.busy != nil {
		s.buf = s.busy[:]
	}
	s.received = 0
}

// Release returns the larger buffer to the pool. The Socket must not be read afterwards.
func (s *Socket) Release() {
	if s.busy != nil {
		busyBuffers.Put(s.busy)
		s.busy = nil
	}
}
