package gateway

import (
	"sync"

	"roost/schemas"
)

// maxReceipts is how many receipts are remembered at least, and half of how many at most.
const maxReceipts = 16 << 10

// receiptDedup remembers the live receipts that went out recently, so that a sender gets the
// receipt of the first device that has a message, and not those of the others. A receipt that
// was forgotten, or that another gateway sent, is sent again, which tells the sender nothing new.
type receiptDedup struct {
	mu    sync.Mutex // guards the rest
	newer map[receipt]struct{}
	older map[receipt]struct{} // newer, when that was full; dropped the next time
}

type receipt struct {
	reader schemas.UserID
	id     schemas.MessageID
}

func newReceiptDedup() *receiptDedup { return &receiptDedup{newer: make(map[receipt]struct{})} }

// first reports whether this is the first receipt of a reader for a message.
func (t *receiptDedup) first(reader schemas.UserID, id schemas.MessageID) bool {
	r := receipt{reader, id}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.newer[r]; ok {
		return false
	}
	if _, ok := t.older[r]; ok {
		return false
	}
	if len(t.newer) >= maxReceipts {
		t.older, t.newer = t.newer, make(map[receipt]struct{})
	}
	t.newer[r] = struct{}{}
	return true
}
