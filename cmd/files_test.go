package cmd

import "testing"

// TestConnectionBound: the reserve is never given to clients.
func TestConnectionBound(t *testing.T) {
	for _, c := range []struct{ asked, limit, reserve, want int }{
		{0, 1500, 264, 1236}, {100, 1500, 264, 100}, {1236, 1500, 264, 1236}, {1237, 1500, 264, 0}, {0, 300, 264, 0}, {10, 300, 264, 0},
	} {
		if got, err := connectionBound(c.asked, c.limit, c.reserve); got != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("asked for %d of %d files: %d, %v", c.asked, c.limit, got, err)
		}
	}
}
