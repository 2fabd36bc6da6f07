package bus

import (
	"testing"

	"pgregory.net/rapid"
)

// In any order of deliveries, no entry counts as delivered that was not.
func TestFrontier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f Frontier
		was := make(map[uint64]bool)
		next := rapid.Uint64Range(1, 50).Draw(t, "first")
		var waiting []uint64
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0: // one that is never delivered
				next++
			case 1: // one that is delivered later
				waiting = append(waiting, next)
				next++
			case 2:
				if len(waiting) > 0 {
					i := rapid.IntRange(0, len(waiting)-1).Draw(t, "which")
					f.Add(waiting[i])
					was[waiting[i]] = true
					waiting = append(waiting[:i], waiting[i+1:]...)
				}
			default:
				f.Add(next)
				was[next] = true
				next++
			}
			pos := rapid.Uint64Range(0, next).Draw(t, "pos")
			if upTo, ok := f.After(pos); ok {
				for seq := pos + 1; seq <= upTo; seq++ {
					if !was[seq] {
						t.Fatalf("after %d all up to %d were delivered, but not %d", pos, upTo, seq)
					}
				}
			}
		}
	})
}

func TestFrontierPassesAGap(t *testing.T) {
	var f Frontier
	f.Add(7)
	f.Add(8)
	const gap = 9
	for seq := uint64(gap + 1); seq <= gap+maxAhead; seq++ {
		f.Add(seq)
	}
	if upTo, ok := f.After(6); !ok || upTo != 8 {
		t.Errorf("before the gap: up to %d, %v", upTo, ok)
	}
	f.Add(gap + maxAhead + 1)
	if upTo, ok := f.After(gap - 1); ok {
		t.Errorf("the gap counts as delivered, up to %d", upTo)
	}
	if upTo, ok := f.After(gap); !ok || upTo != gap+maxAhead+1 || len(f.ahead) != 0 {
		t.Errorf("after the gap: up to %d, %v, %d wait", upTo, ok, len(f.ahead))
	}
	if _, ok := new(Frontier).After(0); ok {
		t.Error("an empty frontier knows something")
	}
}
