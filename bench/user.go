package bench

import (
	"sync"
	"time"

	"roost/schemas"
)

// state is the state of a sent message, as bits.
type state uint8

const (
	answered state = 1 << iota // by message_received or error
	accepted                   // by message_received
	arrived                    // at the receiver; in a group, at all members
	acked                      // by the receiver; for a group, copies has it
	cutOff                     // acknowledged before the cut of all receivers, and not redelivered since
)

// record is one message that a user sent.
type record struct {
	at    int64 // nanoseconds since epoch: the time of the send, or of its due time
	to    int32 // index of the receiver, or toGroup
	state state
}

// toGroup replaces the receiver of a message to a group; copies has the members.
const toGroup = -1

// user is a user with one device, and the records of the messages that it sent.
type user struct {
	// Static.
	index int
	id    schemas.UserID
	token string

	mu      sync.Mutex // guards the rest; held for moments, and never two at once
	device  schemas.DeviceID
	base    int64 // the number before records[0]
	records []record
	copies  map[int64]*copies // of messages to groups, by number
	highest map[int]int64     // by sender: the highest number that arrived here
	cursor  []byte            // of the newest acknowledged message; those before it are acknowledged too
	last    period            // of the last link that ended
}

// period is a time, since epoch, in which a device was connected and its inbox was drained.
type period struct{ from, until int64 }

// epoch is the origin of the times of records.
var epoch = time.Now()

func sinceEpoch() int64 { return int64(time.Since(epoch)) }

// note records a new message and returns its number.
func (p *user) note(to *user, at int64) int64 {
	p.records = append(p.records, record{at: at, to: int32(to.index)})
	return p.base + int64(len(p.records))
}

// noteGroup is note for a message to a group.
func (p *user) noteGroup(g *group, at int64) int64 {
	p.records = append(p.records, record{at: at, to: toGroup})
	number := p.base + int64(len(p.records))
	if p.copies == nil {
		p.copies = make(map[int64]*copies)
	}
	p.copies[number] = newCopies(g)
	return number
}

// answer records the server's answer and returns when the message was sent. It returns false
// for a number without a record, or with an answer already.
func (p *user) answer(number int64, accept bool) (at int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.record(number)
	if r == nil || r.state&answered != 0 {
		return 0, false
	}
	r.state |= answered
	if accept {
		r.state |= accepted
	}
	return r.at, true
}

func (p *user) record(number int64) *record {
	i := number - p.base - 1
	if i < 0 || i >= int64(len(p.records)) {
		return nil
	}
	return &p.records[i]
}

// arrival is the kind of an incoming message.
type arrival int

const (
	fresh     arrival = iota
	repeated          // redelivered before its acknowledgement: the protocol allows it
	duplicate         // redelivered after its acknowledgement
	unknown           // never sent, or to another user
)

// arrive records that a message of p came in at a receiver.
func (p *user) arrive(number int64, at *user) (sent int64, what arrival) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.record(number)
	switch {
	case r == nil && number <= p.base && number > 0:
		return 0, duplicate // of an earlier scenario, or trimmed
	case r == nil:
		return 0, unknown
	case r.to == toGroup:
		c := p.copies[number]
		if what = c.arrive(at); c.missing == 0 {
			r.state |= arrived
		}
		return r.at, what
	case int(r.to) != at.index:
		return 0, unknown
	case r.state&acked != 0:
		return r.at, duplicate
	case r.state&arrived != 0:
		return r.at, repeated
	}
	r.state |= arrived
	return r.at, fresh
}

// acknowledge records that a receiver acknowledged a message.
func (p *user) acknowledge(number int64, by *user) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r := p.record(number); {
	case r == nil:
	case r.to == toGroup:
		p.copies[number].acknowledge(by)
	default:
		r.state |= acked
	}
}

// keepCursor keeps the cursor to resume from.
func (p *user) keepCursor(cursor []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cursor = append(p.cursor[:0], cursor...)
}

// connectedFor records the last period of the device.
func (p *user) connectedFor(s period) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = s
}

func (p *user) lastPeriod() period {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// inOrder says whether a fresh message is newer than all earlier arrivals from its sender.
func (p *user) inOrder(sender int, number int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.highest == nil {
		p.highest = make(map[int]int64)
	}
	if number < p.highest[sender] {
		return false
	}
	p.highest[sender] = number
	return true
}

// pending counts the sends without an answer, and the accepted messages that have not
// arrived.
func (p *user) pending() (unanswered, missing int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.records {
		if r.state&answered == 0 {
			unanswered++
		}
		if r.state&(accepted|arrived) == accepted {
			missing++
		}
	}
	return unanswered, missing
}

// lost is an accepted message that has not arrived.
type lost struct {
	number int64
	to     int32 // index of the receiver
}

func (p *user) missing() (list []lost) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range p.records {
		if r.state&(accepted|arrived) != accepted {
			continue
		}
		number := p.base + int64(i) + 1
		if r.to == toGroup {
			r.to = p.copies[number].lost()
		}
		list = append(list, lost{number, r.to})
	}
	return list
}

// cut records that all receivers were cut off: each message that they acknowledged before may
// be redelivered once.
func (p *user) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.records {
		if p.records[i].state&acked != 0 {
			p.records[i].state |= cutOff
		}
	}
}

// redelivered says whether a message was acknowledged before the cut and is redelivered for
// the first time. For a message that trim dropped, the second part is unknown.
func (p *user) redelivered(number int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.record(number)
	if r == nil {
		return number > 0 && number <= p.base
	}
	first := r.state&cutOff != 0
	r.state &^= cutOff
	return first
}

// trim counts the oldest records and drops them: those of sends before a moment, up to the
// first that is not complete.
func (p *user) trim(before int64, c *Check) {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := 0
	for _, r := range p.records {
		refused := r.state&(answered|accepted) == answered
		if r.at >= before || r.to == toGroup || !refused && r.state&(accepted|acked) != accepted|acked {
			break
		}
		r.count(c)
		done++
	}
	p.base += int64(done)
	p.records = append(p.records[:0], p.records[done:]...)
}

// dropCursor makes the next connection begin without a cursor.
func (p *user) dropCursor() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cursor = nil
}

// count adds the outcome of the record to c.
func (r record) count(c *Check) {
	c.Sent++
	switch {
	case r.state&accepted != 0:
		c.Accepted++
	case r.state&answered != 0:
		c.Refused++
	default:
		c.Unanswered++
	}
	if r.state&arrived != 0 {
		c.Arrived++
	}
	if r.state&(accepted|arrived) == accepted {
		c.Missing++
	}
}

// finish counts all records and drops them.
func (p *user) finish(c *Check) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.records {
		r.count(c)
	}
	p.base += int64(len(p.records))
	p.records = p.records[:0]
	clear(p.copies)
}
