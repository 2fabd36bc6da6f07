package gateway

import (
	"testing"

	"pgregory.net/rapid"

	"roost/schemas"
	"roost/streams/subject"
)

// The numbers that a device sent last are remembered exactly; older ones are forgotten,
// and no number is taken for accepted that was not.
func TestAcceptedSends(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, from := newAcceptedSends(), subject.Address{User: "alice", Device: "phone"}
		accepted := make(map[schemas.ClientMessageID]bool)
		highest := schemas.ClientMessageID(0)
		for range rapid.IntRange(1, 200).Draw(t, "sends") {
			near := max(1, int64(highest)-80)
			n := schemas.ClientMessageID(rapid.Int64Range(near, int64(highest)+rapid.SampledFrom([]int64{2, 70, 1 << 40}).Draw(t, "ahead")).Draw(t, "number"))
			a.add(from, n)
			accepted[n], highest = true, max(highest, n)
			for m := max(1, highest-100); m <= highest+1; m++ {
				if got, want := a.has(from, m), accepted[m] && highest-m < 64; got != want {
					t.Fatalf("%d after %d as the highest: %t, not %t", m, highest, got, want)
				}
			}
		}
		if a.has(subject.Address{User: "alice", Device: "laptop"}, highest) {
			t.Fatal("a number of another device counts as accepted")
		}
	})
}
