package gateway

import (
	"sync"

	"roost/schemas"
)

// maxTold is how many receipts are remembered at least, and half of how many at
// most.
const maxTold = 16 << 10

// told remembers which readers' receipts went out lately, so that a sender hears
// of the first device that has a message and not of the others. One that was
// forgotten, or that another gateway told, is told again, which says nothing new.
type told struct {
	mu     sync.Mutex // guards the rest
	newer  map[receipt]struct{}
	before map[receipt]struct{} // newer, when that was full; forgotten at the next time
}

type receipt struct {
	reader schemas.UserID
	id     schemas.MessageID
}

func newTold() *told { return &told{newer: make(map[receipt]struct{})} }

// first says whether this is the first that is heard of the receipt.
func (t *told) first(reader schemas.UserID, id schemas.MessageID) bool {
	r := receipt{reader, id}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.newer[r]; ok {
		return false
	}
	if _, ok := t.before[r]; ok {
		return false
	}
	if len(t.newer) >= maxTold {
		t.before, t.newer = t.newer, make(map[receipt]struct{})
	}
	t.newer[r] = struct{}{}
	return true
}
