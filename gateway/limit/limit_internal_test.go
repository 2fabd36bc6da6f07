package limit

import (
	"fmt"
	"testing"
	"time"
)

// TestLoginLimiterEvictsTheOldest: one address more than fit makes the limiter forget
// the address that was away for longest, and no other.
func TestLoginLimiterEvictsTheOldest(t *testing.T) {
	l := NewAddresses(0.5) // a burst of one
	wait := func(i int) time.Duration { return l.Wait(fmt.Sprint(i)) }
	for i := range maxAddresses {
		if wait(i) != 0 {
			t.Fatalf("the first attempt of address %d has to wait", i)
		}
	}
	if wait(0) == 0 {
		t.Error("an address that is remembered need not wait")
	}
	wait(maxAddresses)
	if wait(0) == 0 || wait(2) == 0 {
		t.Error("one more address made the limiter forget those seen lately")
	}
	if wait(1) != 0 {
		t.Error("the oldest address is still there")
	}
	if n := l.limiters.Len(); n > maxAddresses {
		t.Errorf("%d addresses are remembered", n)
	}
}
