package msgid

import (
	"math/rand/v2"
	"testing"

	"roost/schemas"
)

func newTestSigner(t testing.TB) (*Clock, *Signer) {
	t.Helper()
	clock := NewClock(nil)
	signer, err := NewSigner(clock, NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return clock, signer
}

// Signed ids and others increase among one another.
func TestSignedIDsIncrease(t *testing.T) {
	clock, signer := newTestSigner(t)
	last := schemas.MessageID("")
	for range 20_000 {
		id := clock.Next()
		if rand.N(2) == 0 {
			id = signer.Sign("alice", schemas.Participant{User: "bob"})
		}
		if id <= last {
			t.Fatalf("%s came after %s", id, last)
		}
		last = id
	}
}

// A key of another length is none that NewKey made.
func TestKeySize(t *testing.T) {
	for _, size := range []int{0, KeySize - 1, KeySize + 1} {
		if _, err := NewSigner(NewClock(nil), make([]byte, size)); err == nil {
			t.Errorf("a key of %d bytes was taken", size)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	_, signer := newTestSigner(b)
	b.ReportAllocs()
	for b.Loop() {
		signer.Sign("alice", schemas.Participant{User: "bob"})
	}
}
