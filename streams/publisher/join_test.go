package publisher

import (
	"errors"
	"slices"
	"sync"
	"testing"
)

// done is called once, after all parts, with the first error.
func TestJoin(t *testing.T) {
	one, two := errors.New("one"), errors.New("two")
	for _, errs := range [][]error{{nil}, {nil, nil, nil}, {one}, {nil, one, two, nil}} {
		var got []error
		g := NewJoin(len(errs), func(err error) { got = append(got, err) })
		for i, err := range errs {
			if len(got) > 0 {
				t.Fatalf("done after %d of %d", i, len(errs))
			}
			g.Done(err)
		}
		want := error(nil)
		if slices.Contains(errs, one) {
			want = one
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("%v ended with %v", errs, got)
		}
	}
	calls := 0
	g := NewJoin(100, func(error) { calls++ })
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { g.Done(nil) })
	}
	if wg.Wait(); calls != 1 {
		t.Errorf("done was called %d times", calls)
	}
}
