package streams

import (
	"slices"
	"time"

	"roost/schemas"
)

// window holds the entries that a device was sent and that are still in its
// inbox, by sequence. It is a plain value; the inbox guards it.
type window struct {
	entries []windowEntry
	unacked int
}

type windowEntry struct {
	seq   uint64
	head  schemas.EntryHead
	sent  time.Time
	acked bool
}

func (w *window) find(seq uint64) (int, bool) {
	// Nearly always the newest entry or one behind it.
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
}

// ack marks the entries that match and returns those that were not yet marked.
func (w *window) ack(match func(*windowEntry) bool) []schemas.EntryHead {
	var newly []schemas.EntryHead
	for i := range w.entries {
		if e := &w.entries[i]; !e.acked && match(e) {
			e.acked = true
			w.unacked--
			newly = append(newly, e.head)
		}
	}
	return newly
}

// ackedPrefix are the leading entries that are all acknowledged.
func (w *window) ackedPrefix() []windowEntry {
	for i := range w.entries {
		if !w.entries[i].acked {
			return w.entries[:i]
		}
	}
	return w.entries
}

// drop forgets the entries up to seq, all of them acknowledged.
func (w *window) drop(seq uint64) {
	i := 0
	for i < len(w.entries) && w.entries[i].seq <= seq {
		i++
	}
	w.entries = slices.Delete(w.entries, 0, i)
}

// after counts the entries behind pos.
func (w *window) after(pos uint64) int {
	i, ok := w.find(pos)
	if ok {
		i++
	}
	return len(w.entries) - i
}

// oldestUnacked is when the entry that waits longest was sent.
func (w *window) oldestUnacked() (time.Time, bool) {
	for _, e := range w.entries {
		if !e.acked {
			return e.sent, true
		}
	}
	return time.Time{}, false
}

// sentAfter are the entries behind pos, ascending.
func (w *window) sentAfter(pos uint64) []uint64 {
	behind := w.entries[len(w.entries)-w.after(pos):]
	sent := make([]uint64, len(behind))
	for i, e := range behind {
		sent[i] = e.seq
	}
	return sent
}
