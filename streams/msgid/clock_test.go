package msgid

import (
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"roost/schemas"
)

func TestClockIncreases(t *testing.T) {
	now := time.UnixMilli(1_760_000_000_000)
	c := NewClock(func() time.Time { return now })
	last := c.Next()
	next := func(when string) schemas.MessageID {
		t.Helper()
		id := c.Next()
		if _, err := schemas.ParseMessageID(string(id)); err != nil || id <= last {
			t.Fatalf("%s: %s after %s, %v", when, id, last, err)
		}
		last = id
		return id
	}
	for range 1000 {
		next("in the same millisecond")
	}
	now = now.Add(-time.Hour)
	for range 1000 {
		next("with a clock set back")
	}
	ahead := schemas.MessageIDAt(schemas.TimestampOf(now.Add(24 * time.Hour)))
	c.Observe(ahead)
	if id := next("after a larger one was seen"); id <= ahead {
		t.Fatalf("%s is not behind %s, which was seen", id, ahead)
	}
	c.Observe("01K73S8AC0DEV1CEDEV1CEDEV1") // smaller
	c.Observe("no ULID")
	c.Observe("")
	next("after smaller ones and text")
	now = now.Add(48 * time.Hour)
	if id := next("with a clock that caught up"); id.Time() != schemas.TimestampOf(now) {
		t.Errorf("its time is %d, not that of the clock, %d", id.Time(), schemas.TimestampOf(now))
	}
}

// Without room left in the random part, the time part goes on.
func TestClockOverflow(t *testing.T) {
	now := time.UnixMilli(1_760_000_000_000)
	c := NewClock(func() time.Time { return now })
	full := ulid.ULID{6: 0xff, 7: 0xff, 8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff, 14: 0xff, 15: 0xff}
	if err := full.SetTime(ulid.Timestamp(now)); err != nil {
		t.Fatal(err)
	}
	c.Observe(schemas.MessageID(full.String()))
	if id := c.Next(); string(id) <= full.String() || id.Time() != schemas.TimestampOf(now)+1 {
		t.Errorf("after %s came %s", full, id)
	}
	_ = full.SetTime(ulid.Timestamp(now) + 1)
	c.Observe(schemas.MessageID(full.String()))
	if id := c.unsigned(); id.Compare(full) <= 0 || id.Time() != ulid.Timestamp(now)+2 {
		t.Errorf("after %s came %s", full, id)
	}
}

func TestAddEntropyCarries(t *testing.T) {
	id := ulid.ULID{7: 1, 8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff, 14: 0xff, 15: 0xff}
	next, ok := addEntropy(id, 2)
	if want := (ulid.ULID{7: 2, 15: 1}); !ok || next != want {
		t.Errorf("got %v %t, not %v", next, ok, want)
	}
}

// Two clocks that go on from the same id, in the past of both, do not collide.
func TestClocksGoOnApart(t *testing.T) {
	seen := schemas.MessageIDAt(1_900_000_000_000)
	past := func() time.Time { return time.UnixMilli(1_760_000_000_000) }
	all := make(map[schemas.MessageID]bool)
	one, two := NewClock(past), NewClock(past)
	one.Observe(seen)
	two.Observe(seen)
	const n = 10_000
	for range n {
		all[one.Next()] = true
		all[two.Next()] = true
	}
	if len(all) != 2*n {
		t.Errorf("%d ids are the same", 2*n-len(all))
	}
}

func TestClockConcurrently(t *testing.T) {
	c := NewClock(nil)
	const goroutines, each = 8, 1000
	var wg sync.WaitGroup
	all := make([][]schemas.MessageID, goroutines)
	for i := range all {
		wg.Go(func() {
			for range each {
				id := c.Next()
				c.Observe(id)
				all[i] = append(all[i], id)
			}
		})
	}
	wg.Wait()
	seen := make(map[schemas.MessageID]bool)
	for _, ids := range all {
		for i, id := range ids {
			if seen[id] || i > 0 && id <= ids[i-1] {
				t.Fatalf("%s is there twice or out of order", id)
			}
			seen[id] = true
		}
	}
}
