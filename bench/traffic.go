package bench

import (
	"fmt"
	"math"
	"sort"
	"sync"
	"sync/atomic"
)

// traffic is what the links of a scenario have in common: what they count, and
// what they do beyond acknowledging.
type traffic struct {
	// Static.
	people   []*person   // by index; senders of what comes in are looked up here
	onAnswer func(*link) // after message_received or error of a send; nil: nothing
	// keep takes over the acknowledgement of a message where it returns true. nil:
	// each message is acknowledged at once.
	keep func(l *link, m lateAck) bool
	// recentAck and recentEndToEnd have the latencies since somebody took them. nil:
	// nobody does.
	recentAck, recentEndToEnd *latency

	accepted, refused, delivered, receipts    atomic.Int64
	repeated, duplicates, corrupt, outOfOrder atomic.Int64
	late                                      atomic.Int64
	again                                     atomic.Int64 // acknowledged before the cut, came again after it
	cut                                       atomic.Bool  // all receivers were cut off, see person.cut
	from, until                               atomic.Int64 // since epoch; latencies are of messages sent between
	ack, endToEnd                             *latency
	mu                                        sync.Mutex // guards codes
	codes                                     map[string]refusals
}

// refusals are the errors of one code.
type refusals struct {
	count   int64
	example string
}

func newTraffic(people []*person) *traffic {
	t := &traffic{people: people, ack: newLatency(), endToEnd: newLatency(), codes: make(map[string]refusals)}
	t.from.Store(math.MaxInt64)
	t.until.Store(math.MaxInt64)
	return t
}

// measured says whether a message sent at that time counts in the latencies.
func (t *traffic) measured(at int64) bool { return at >= t.from.Load() && at < t.until.Load() }

// answer enters what the server said of a send.
func (t *traffic) answer(l *link, number int64, taken bool) {
	at, ok := l.person.answer(number, taken)
	if !ok {
		t.corrupt.Add(1) // an answer to what was not asked
		return
	}
	if taken {
		t.accepted.Add(1)
		if t.measured(at) {
			t.ack.record(sinceEpoch() - at)
		}
		if t.recentAck != nil {
			t.recentAck.record(sinceEpoch() - at)
		}
	} else {
		t.refused.Add(1)
	}
	if t.onAnswer != nil {
		t.onAnswer(l)
	}
}

// refusal counts an error of a send.
func (t *traffic) refusal(code, message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.codes[code]
	t.codes[code] = refusals{count: r.count + 1, example: message}
}

// notes says which errors there were.
func (t *traffic) notes() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []string
	for code, r := range t.codes {
		list = append(list, fmt.Sprintf("%d sends were refused with %s: %s", r.count, code, r.example))
	}
	sort.Strings(list)
	return list
}

// incoming checks and acknowledges a message.
func (t *traffic) incoming(l *link, frame []byte) {
	id := textField(frame, fieldMessageID)
	index, number, ok := readContent(textField(frame, fieldContent))
	if !ok || index >= len(t.people) || number != numberField(frame, fieldNumber) {
		t.corrupt.Add(1)
		l.delivered(id)
		return
	}
	sender := t.people[index]
	if string(textField(frame, fieldSender)) != string(sender.user) {
		t.corrupt.Add(1)
		l.delivered(id)
		return
	}
	at, what := sender.arrive(number, l.person)
	switch what {
	case fresh:
		t.delivered.Add(1)
		if l.drained && at >= l.since { // not what waited for a device that was away
			if t.measured(at) {
				t.endToEnd.record(sinceEpoch() - at)
			}
			if t.recentEndToEnd != nil {
				t.recentEndToEnd.record(sinceEpoch() - at)
			}
		}
		if l.waited(at) > noteworthy {
			t.late.Add(1)
		}
		if !l.person.inOrder(index, number) {
			t.outOfOrder.Add(1)
		}
	case repeated:
		t.repeated.Add(1)
	case duplicate:
		if t.cut.Load() && sender.again(number) {
			t.again.Add(1)
		} else {
			t.duplicates.Add(1)
		}
	case unknown:
		t.corrupt.Add(1)
	}
	cursor := textField(frame, fieldCursor)
	if t.keep != nil && t.keep(l, lateAck{string(id), string(cursor), sender, number}) {
		return
	}
	if l.delivered(id) {
		sender.acknowledge(number, l.person)
		l.person.have(cursor)
	}
}

// check adds what the links saw to what the records of the people say, and
// forgets the records.
func (t *traffic) check() Check {
	c := Check{Repeated: t.repeated.Load(), Duplicates: t.duplicates.Load(),
		Corrupt: t.corrupt.Load(), OutOfOrder: t.outOfOrder.Load(), Late: t.late.Load()}
	for _, p := range t.people {
		p.settle(&c)
	}
	return c
}
