package bus

import "sync"

// maxAhead bounds the sequences that were delivered after a gap. If more are, the entries
// before them count as unknown.
const maxAhead = 4096

// Frontier is the delivery frontier of one inbox stream in single-process mode: the
// sequence up to which the bus delivered every entry to the connections of its device, if
// there were any. There each sequence of the stream is one that this process got for a
// commit, so an entry that was not delivered is a gap here. An inbox moves its position
// to the frontier without reading the stream. A commit without an answer leaves a gap for
// good. After maxAhead later entries the frontier begins after the gap; inboxes read the
// stream until then.
//
// Methods may be called concurrently. The zero value knows nothing.
type Frontier struct {
	mu    sync.Mutex          // guards the rest
	first uint64              // entries before it are unknown; 0: all are
	upTo  uint64              // all entries from first to upTo were delivered
	ahead map[uint64]struct{} // delivered after a gap, at most maxAhead
}

// Add notes that the listeners of an entry were called.
func (f *Frontier) Add(seq uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.first == 0:
		f.first, f.upTo = seq, seq
		return
	case seq <= f.upTo: // delivered again
		return
	case seq > f.upTo+1:
		if f.ahead == nil {
			f.ahead = make(map[uint64]struct{})
		}
		f.ahead[seq] = struct{}{}
		if len(f.ahead) <= maxAhead {
			return
		}
		f.first = seq
		for other := range f.ahead {
			f.first = min(f.first, other)
		}
		f.upTo = f.first
		delete(f.ahead, f.first)
	default:
		f.upTo = seq
	}
	for {
		if _, ok := f.ahead[f.upTo+1]; !ok {
			return
		}
		f.upTo++
		delete(f.ahead, f.upTo)
	}
}

// After returns the sequence up to which every entry after pos was delivered. ok is false
// if that is unknown.
func (f *Frontier) After(pos uint64) (upTo uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.upTo, f.first > 0 && pos+1 >= f.first
}
