package cmd

import (
	"runtime/debug"
	"testing"
)

// TestSetCollector holds the next collection to what the floor and the percentage give,
// and leaves the collector to GOGC and GOMEMLIMIT.
func TestSetCollector(t *testing.T) {
	const own = 77
	was := debug.SetGCPercent(own)
	defer debug.SetGCPercent(was)
	percent := func() int {
		p := debug.SetGCPercent(own)
		debug.SetGCPercent(p)
		return p
	}
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", "")
			t.Setenv("GOMEMLIMIT", "")
			t.Setenv(name, "100")
			if floor := setCollector(); floor != nil || percent() != own {
				t.Errorf("a floor of %d bytes, %d %%", len(floor), percent())
			}
		})
	}
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	if floor := setCollector(); len(floor) != heapFloor || percent() != heapPercent {
		t.Errorf("a floor of %d bytes, %d %%", len(floor), percent())
	}
}
