package msgid

import (
	"crypto/rand"
	"encoding/binary"
	"math"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"roost/schemas"
)

// Clock makes ULIDs whose time part is a hybrid logical clock: every id is larger than
// all ids that this clock made or observed before, also if the machine's clock is late
// or was set back. The ids of clocks that have not observed each other differ by 80
// random bits; those of messages by 31 random bits and by the MAC.
type Clock struct {
	now func() time.Time

	mu   sync.Mutex
	last ulid.ULID // the largest made or observed
}

// NewClock takes the machine's clock; nil is time.Now.
func NewClock(now func() time.Time) *Clock {
	if now == nil {
		now = time.Now
	}
	return &Clock{now: now}
}

// Observe makes every later id larger than id. It ignores text that is no ULID.
func (c *Clock) Observe(id schemas.MessageID) {
	seen, err := ulid.ParseStrict(string(id))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if seen.Compare(c.last) > 0 {
		c.last = seen
	}
}

// futureSlack is how far the clocks of gateways may be apart.
const futureSlack = time.Minute

// InFuture says whether no clock can have made id yet.
func (c *Clock) InFuture(id schemas.MessageID) bool {
	ms := ulid.Timestamp(c.now())
	c.mu.Lock()
	defer c.mu.Unlock()
	return id.Time().Time().Sub(time.UnixMilli(int64(max(ms, c.last.Time())))) > futureSlack
}

// Next makes an id.
func (c *Clock) Next() schemas.MessageID { return schemas.MessageID(c.next().String()) }

// NextULID makes an id of something that is no message.
func (c *Clock) NextULID() string { return c.next().String() }

func (c *Clock) next() ulid.ULID {
	var random [10]byte
	_, _ = rand.Read(random[:]) // never fails since Go 1.24
	ms := ulid.Timestamp(c.now())

	c.mu.Lock()
	defer c.mu.Unlock()
	if ms <= c.last.Time() {
		// Two clocks that count on from the same id stay apart by a random step.
		step := binary.BigEndian.Uint64(random[:])>>16 + 1
		if next, ok := addEntropy(c.last, step); ok {
			c.last = next
			return next
		}
		ms = c.last.Time() + 1
	}
	var id ulid.ULID
	_ = id.SetTime(ms) // fails only after the year 10889
	random[0] &= 0x7f  // leaves room to count on within the millisecond
	copy(id[6:], random[:])
	c.last = id
	return id
}

// unsigned makes the first macAt bytes of an id; the caller fills in the others. The id
// is larger than all before and smaller than all later, whatever the other bytes are.
func (c *Clock) unsigned() (id ulid.ULID) {
	var random [7]byte
	_, _ = rand.Read(random[:]) // never fails since Go 1.24
	ms := ulid.Timestamp(c.now())

	c.mu.Lock()
	defer c.mu.Unlock()
	head := binary.BigEndian.Uint32(random[:]) >> 1 // leaves room to count on within the millisecond
	if ms <= c.last.Time() {
		ms = c.last.Time()
		// Two clocks that count on from the same id stay apart by a random step.
		step := binary.BigEndian.Uint32(random[3:])&(1<<24-1) + 1
		if known := binary.BigEndian.Uint32(c.last[6:]); known <= math.MaxUint32-step {
			head = known + step
		} else {
			ms++
		}
	}
	_ = id.SetTime(ms) // fails only after the year 10889
	binary.BigEndian.PutUint32(id[6:], head)
	c.last = id
	for i := macAt; i < len(c.last); i++ {
		c.last[i] = 0xff
	}
	return id
}

// addEntropy adds step to the 80 random bits; ok is false if they overflow.
func addEntropy(id ulid.ULID, step uint64) (next ulid.ULID, ok bool) {
	low := binary.BigEndian.Uint64(id[8:])
	high := binary.BigEndian.Uint16(id[6:])
	sum := low + step
	if sum < low {
		if high == 1<<16-1 {
			return id, false
		}
		high++
	}
	binary.BigEndian.PutUint64(id[8:], sum)
	binary.BigEndian.PutUint16(id[6:], high)
	return id, true
}
