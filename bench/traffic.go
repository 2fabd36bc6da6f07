package bench

import (
	"fmt"
	"math"
	"sort"
	"sync"
	"sync/atomic"
)

// traffic is common to the links of a scenario: their counters, and what they do beside
// acknowledging.
type traffic struct {
	// Static.
	users    []*user     // by index; has the senders of incoming messages
	onAnswer func(*link) // after message_received or error of a send; nil: nothing
	// delay takes over the acknowledgement of a message if it returns true. nil: links
	// acknowledge each message at once.
	delay func(l *link, m lateAck) bool
	// recentAck and recentEndToEnd have the latencies since they were last read. nil:
	// they are not needed.
	recentAck, recentEndToEnd *latency

	accepted, refused, delivered, receipts    atomic.Int64
	repeated, duplicates, corrupt, outOfOrder atomic.Int64
	late                                      atomic.Int64
	redelivered                               atomic.Int64 // acknowledged before the cut, redelivered after it
	cut                                       atomic.Bool  // all receivers were cut off, see user.cut
	from, until                               atomic.Int64 // since epoch; latencies are of messages in between
	ack, endToEnd                             *latency
	mu                                        sync.Mutex // guards codes
	codes                                     map[string]refusals
}

// refusals are the errors of one code.
type refusals struct {
	count   int64
	example string
}

func newTraffic(users []*user) *traffic {
	t := &traffic{users: users, ack: newLatency(), endToEnd: newLatency(), codes: make(map[string]refusals)}
	t.from.Store(math.MaxInt64)
	t.until.Store(math.MaxInt64)
	return t
}

// measured says whether a message of that time counts in the latencies.
func (t *traffic) measured(at int64) bool { return at >= t.from.Load() && at < t.until.Load() }

// answer records the server's answer to a send.
func (t *traffic) answer(l *link, number int64, accepted bool) {
	at, ok := l.user.answer(number, accepted)
	if !ok {
		t.corrupt.Add(1) // an answer without a send
		return
	}
	if accepted {
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

// notes lists the errors.
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
	if !ok || index >= len(t.users) || number != numberField(frame, fieldNumber) {
		t.corrupt.Add(1)
		l.delivered(id)
		return
	}
	sender := t.users[index]
	if string(textField(frame, fieldSender)) != string(sender.id) {
		t.corrupt.Add(1)
		l.delivered(id)
		return
	}
	at, what := sender.arrive(number, l.user)
	switch what {
	case fresh:
		t.delivered.Add(1)
		if l.drained && at >= l.since { // without the backlog of a device that was offline
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
		if !l.user.inOrder(index, number) {
			t.outOfOrder.Add(1)
		}
	case repeated:
		t.repeated.Add(1)
	case duplicate:
		if t.cut.Load() && sender.redelivered(number) {
			t.redelivered.Add(1)
		} else {
			t.duplicates.Add(1)
		}
	case unknown:
		t.corrupt.Add(1)
	}
	cursor := textField(frame, fieldCursor)
	if t.delay != nil && t.delay(l, lateAck{string(id), string(cursor), sender, number}) {
		return
	}
	if l.delivered(id) {
		sender.acknowledge(number, l.user)
		l.user.keepCursor(cursor)
	}
}

// check adds up the counters of the links and the records of the users, and drops the
// records.
func (t *traffic) check() Check {
	c := Check{Repeated: t.repeated.Load(), Duplicates: t.duplicates.Load(),
		Corrupt: t.corrupt.Load(), OutOfOrder: t.outOfOrder.Load(), Late: t.late.Load()}
	for _, p := range t.users {
		p.finish(&c)
	}
	return c
}
