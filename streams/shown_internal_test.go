package streams

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever comes in whatever order, nothing counts as shown that was not.
func TestShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s shown
		was := make(map[uint64]bool)
		next := rapid.Uint64Range(1, 50).Draw(t, "first")
		var waiting []uint64
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0: // one that is never shown
				next++
			case 1: // one that is shown later
				waiting = append(waiting, next)
				next++
			case 2:
				if len(waiting) > 0 {
					i := rapid.IntRange(0, len(waiting)-1).Draw(t, "which")
					s.add(waiting[i])
					was[waiting[i]] = true
					waiting = append(waiting[:i], waiting[i+1:]...)
				}
			default:
				s.add(next)
				was[next] = true
				next++
			}
			pos := rapid.Uint64Range(0, next).Draw(t, "pos")
			if upTo, ok := s.after(pos); ok {
				for seq := pos + 1; seq <= upTo; seq++ {
					if !was[seq] {
						t.Fatalf("behind %d all up to %d were shown, but not %d", pos, upTo, seq)
					}
				}
			}
		}
	})
}

func TestShownPassesAGap(t *testing.T) {
	var s shown
	s.add(7)
	s.add(8)
	const gap = 9
	for seq := uint64(gap + 1); seq <= gap+maxAhead; seq++ {
		s.add(seq)
	}
	if upTo, ok := s.after(6); !ok || upTo != 8 {
		t.Errorf("before the gap: up to %d, %v", upTo, ok)
	}
	s.add(gap + maxAhead + 1)
	if upTo, ok := s.after(gap - 1); ok {
		t.Errorf("the gap counts as shown, up to %d", upTo)
	}
	if upTo, ok := s.after(gap); !ok || upTo != gap+maxAhead+1 || len(s.ahead) != 0 {
		t.Errorf("behind the gap: up to %d, %v, %d wait", upTo, ok, len(s.ahead))
	}
	if _, ok := new(shown).after(0); ok {
		t.Error("something is known where nothing was shown")
	}
}
