package publisher

import "testing"

// panics says whether do does.
func panics(do func()) (did bool) {
	defer func() { did = recover() != nil }()
	do()
	return false
}

func TestPhases(t *testing.T) {
	allowed := map[[2]phase]bool{
		{pipelining, batching}: true, {batching, pipelining}: true, {batching, repeating}: true, {repeating, pipelining}: true,
		{pipelining, closed}: true, {batching, closed}: true, {repeating, closed}: true,
	}
	for from := pipelining; from <= closed; from++ {
		for to := pipelining; to <= closed; to++ {
			w := &writer{phase: from}
			if refused := panics(func() { w.enter(to) }); refused == allowed[[2]phase{from, to}] {
				t.Errorf("phase %d after %d: refused %t", to, from, refused)
			}
		}
	}
}

// A set ends once, with one outcome for each entry.
func TestDoneIsCalledOnce(t *testing.T) {
	calls := 0
	s := &set{entries: make([]Entry, 2), outcomes: make([]Outcome, 2), missing: 2, done: func([]Outcome) { calls++ }}
	w := &writer{stream: "S"}
	for i := range 2 {
		if calls != 0 {
			t.Error("done was called before all outcomes were there")
		}
		w.report([]span{{s, i, i + 1}}, func(int) Outcome { return Outcome{Sequence: uint64(i)} })
	}
	if calls != 1 {
		t.Errorf("done was called %d times", calls)
	}
	if !panics(func() { w.report([]span{{s, 0, 1}}, func(int) Outcome { return Outcome{} }) }) {
		t.Error("an entry had two outcomes")
	}
	if !panics(s.complete) {
		t.Error("a set ended twice")
	}
}
