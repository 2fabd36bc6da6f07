package gateway

import "testing"

func TestWaveIsOver(t *testing.T) {
	var w wave
	for i, c := range []struct {
		allocated uint64 // MiB
		over      bool
	}{{0, false}, {50, false}, {2000, false}, {2003, true}, {2003, false}, {2060, false}, {2075, false}, {2075, true},
		{4000, false}, {4005, false}, {4008, true}} {
		if got := w.over(c.allocated << 20); got != c.over {
			t.Errorf("look %d, at %d MiB: %v", i, c.allocated, got)
		}
	}
}
