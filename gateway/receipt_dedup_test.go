package gateway

import "testing"

// At least maxReceipts receipts are remembered, and the memory is bounded.
func TestReceiptDedup(t *testing.T) {
	dedup := newReceiptDedup()
	if !dedup.first("bob", id(0)) || dedup.first("bob", id(0)) || !dedup.first("carol", id(0)) || !dedup.first("bob", id(1)) {
		t.Error("first is not first")
	}
	for i := range maxReceipts - 1 {
		dedup.first("dave", id(i))
	}
	if dedup.first("bob", id(0)) {
		t.Errorf("forgotten after %d", maxReceipts)
	}
	for i := range 3 * maxReceipts {
		dedup.first("erin", id(i))
	}
	if n := len(dedup.newer) + len(dedup.older); n > 2*maxReceipts {
		t.Errorf("%d are remembered", n)
	}
	if !dedup.first("bob", id(0)) {
		t.Error("never forgotten")
	}
}
