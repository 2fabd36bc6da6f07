package streams

import (
	"sync"
)

// maxAhead bounds the sequences that are shown behind a gap; with more, what is
// before them counts as unknown.
const maxAhead = 4096

// shown is, of one inbox stream, up to where every entry was shown to its device's
// connections. It is kept where one process alone commits and shows, Options.SingleProcess:
// there each sequence of the stream is one that this process was answered, and an
// entry of a connected device that was not shown is a gap here. So an inbox can
// move its position without reading the stream. A sequence that is never shown,
// because its commit had no answer, stays a gap until maxAhead others have passed it; meanwhile inboxes read.
type shown struct {
	mu    sync.Mutex          // guards the rest
	first uint64              // what was before it is not known; 0: nothing is
	upTo  uint64              // all of first to upTo were shown
	ahead map[uint64]struct{} // shown behind a gap, at most maxAhead
}

// add says that the listeners of an entry have been called.
func (s *shown) add(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.first == 0:
		s.first, s.upTo = seq, seq
		return
	case seq <= s.upTo: // shown again
		return
	case seq > s.upTo+1:
		if s.ahead == nil {
			s.ahead = make(map[uint64]struct{})
		}
		s.ahead[seq] = struct{}{}
		if len(s.ahead) <= maxAhead {
			return
		}
		s.first = seq
		for other := range s.ahead {
			s.first = min(s.first, other)
		}
		s.upTo = s.first
		delete(s.ahead, s.first)
	default:
		s.upTo = seq
	}
	for {
		if _, ok := s.ahead[s.upTo+1]; !ok {
			return
		}
		s.upTo++
		delete(s.ahead, s.upTo)
	}
}

// after is up to where every entry behind pos was shown; ok is false where that is
// not known.
func (s *shown) after(pos uint64) (upTo uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.upTo, s.first > 0 && pos+1 >= s.first
}
