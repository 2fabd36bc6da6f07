package inbox

import (
	"slices"
	"time"

	"roost/schemas"
)

// window has the entries that were delivered to a device and not removed yet, by sequence.
// It is a plain value; the consumer guards it.
type window struct {
	entries []windowEntry
	prefix  int // how many leading entries are all acknowledged
	unacked int
}

type windowEntry struct {
	seq   uint64
	head  schemas.EntryHead
	sent  time.Time
	acked bool
}

func (w *window) find(seq uint64) (int, bool) {
	// Nearly always the newest entry or one after it.
	if n := len(w.entries); n == 0 || w.entries[n-1].seq < seq {
		return n, false
	}
	return slices.BinarySearchFunc(w.entries, seq, func(e windowEntry, seq uint64) int {
		switch {
		case e.seq < seq:
			return -1
		case e.seq > seq:
			return 1
		}
		return 0
	})
}

func (w *window) has(seq uint64) bool {
	_, ok := w.find(seq)
	return ok
}

// add puts an entry in its place; it must not be there yet.
func (w *window) add(e windowEntry) {
	i, _ := w.find(e.seq)
	w.entries = slices.Insert(w.entries, i, e)
	if !e.acked {
		w.unacked++
	}
	w.prefix = min(w.prefix, i)
	w.extend()
}

// extend moves prefix on over acknowledged entries.
func (w *window) extend() {
	for w.prefix < len(w.entries) && w.entries[w.prefix].acked {
		w.prefix++
	}
}

// ack marks the entries that match and returns those that were not yet marked.
func (w *window) ack(match func(*windowEntry) bool) []schemas.EntryHead {
	var newly []schemas.EntryHead
	for i := w.prefix; i < len(w.entries); i++ {
		if e := &w.entries[i]; !e.acked && match(e) {
			e.acked = true
			w.unacked--
			newly = append(newly, e.head)
		}
	}
	w.extend()
	return newly
}

// message looks for a message, the newest first.
func (w *window) message(id schemas.MessageID) (schemas.EntryHead, bool) {
	for _, e := range slices.Backward(w.entries) {
		if e.head.MessageID == id {
			return e.head, true
		}
	}
	return schemas.EntryHead{}, false
}

// ackedPrefix are the leading entries that are all acknowledged.
func (w *window) ackedPrefix() []windowEntry { return w.entries[:w.prefix] }

// ackedAfter counts the entries of that prefix after pos.
func (w *window) ackedAfter(pos uint64) int {
	return max(0, w.prefix-(len(w.entries)-w.after(pos)))
}

// drop removes the entries up to seq, all of them acknowledged.
func (w *window) drop(seq uint64) {
	i := 0
	for i < len(w.entries) && w.entries[i].seq <= seq {
		i++
	}
	w.entries = slices.Delete(w.entries, 0, i)
	w.prefix -= i
	if cap(w.entries) > windowRoom && len(w.entries) < cap(w.entries)/4 {
		w.entries = append(make([]windowEntry, 0, 2*len(w.entries)), w.entries...)
	}
}

// windowRoom is the number of entries that a window keeps room for. A larger window frees
// the room of a burst.
const windowRoom = 8

// after counts the entries after pos.
func (w *window) after(pos uint64) int {
	i, ok := w.find(pos)
	if ok {
		i++
	}
	return len(w.entries) - i
}

// oldestUnacked is when the oldest unacknowledged entry was delivered.
func (w *window) oldestUnacked() (time.Time, bool) {
	if w.prefix == len(w.entries) {
		return time.Time{}, false
	}
	return w.entries[w.prefix].sent, true
}

// sentAfter are the entries after pos, ascending.
func (w *window) sentAfter(pos uint64) []uint64 {
	after := w.entries[len(w.entries)-w.after(pos):]
	sent := make([]uint64, len(after))
	for i, e := range after {
		sent[i] = e.seq
	}
	return sent
}
