package bench

import (
	"sync"
	"time"

	"roost/schemas"
)

// state of a message that a person sent, as bits.
type state uint8

const (
	answered state = 1 << iota // by message_received or error
	accepted                   // by message_received
	arrived                    // at the receiver; in a group at all of them
	acked                      // by the receiver; of a group, see copies
	cutOff                     // acknowledged when all receivers were cut off, and not come again since
)

// record is one message that a person sent.
type record struct {
	at    int64 // nanoseconds since epoch: when it was sent, or was due
	to    int32 // index of the receiver, or toGroup
	state state
}

// toGroup stands in place of a receiver where there are many; copies has them.
const toGroup = -1

// person is one user with one device, and the record of what that device sent.
type person struct {
	// Static.
	index int
	user  schemas.UserID
	token string

	mu      sync.Mutex // guards the rest; held only for moments, and never two at once
	device  schemas.DeviceID
	base    int64 // the number before that of records[0]
	records []record
	copies  map[int64]*copies // by number: of the messages to groups
	highest map[int]int64     // by sender: the newest number that arrived here
	cursor  []byte            // of the newest message that was acknowledged here; all before it were too
	last    stay              // of the last link that ended
}

// stay is a time during which a person was connected and had the backlog, since
// epoch.
type stay struct{ from, until int64 }

// epoch is what times of records count from.
var epoch = time.Now()

func sinceEpoch() int64 { return int64(time.Since(epoch)) }

// note enters a new message and returns its number.
func (p *person) note(to *person, at int64) int64 {
	p.records = append(p.records, record{at: at, to: int32(to.index)})
	return p.base + int64(len(p.records))
}

// noteGroup is note for a message to a group.
func (p *person) noteGroup(g *group, at int64) int64 {
	p.records = append(p.records, record{at: at, to: toGroup})
	number := p.base + int64(len(p.records))
	if p.copies == nil {
		p.copies = make(map[int64]*copies)
	}
	p.copies[number] = newCopies(g)
	return number
}

// answer enters the server's answer and returns when the message was sent; false
// for a number without a record, or with an answer already.
func (p *person) answer(number int64, taken bool) (at int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.record(number)
	if r == nil || r.state&answered != 0 {
		return 0, false
	}
	r.state |= answered
	if taken {
		r.state |= accepted
	}
	return r.at, true
}

func (p *person) record(number int64) *record {
	i := number - p.base - 1
	if i < 0 || i >= int64(len(p.records)) {
		return nil
	}
	return &p.records[i]
}

// arrival is what a message that came in is.
type arrival int

const (
	fresh     arrival = iota
	repeated          // again, not acknowledged before: the protocol allows it
	duplicate         // again, though it was acknowledged
	unknown           // never sent, or to somebody else
)

// arrive enters that a message of p came in at a receiver.
func (p *person) arrive(number int64, at *person) (sent int64, what arrival) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.record(number)
	switch {
	case r == nil && number <= p.base && number > 0:
		return 0, duplicate // of a scenario that was checked and closed
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

// acknowledge enters that a receiver said it has the message.
func (p *person) acknowledge(number int64, by *person) {
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

// have keeps the cursor to resume with.
func (p *person) have(cursor []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cursor = append(p.cursor[:0], cursor...)
}

func (p *person) stayed(s stay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = s
}

func (p *person) lastStay() stay {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// inOrder says whether a fresh message is newer than all that arrived here from
// that sender.
func (p *person) inOrder(sender int, number int64) bool {
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

// pending counts the sends without an answer, and the accepted ones that have not
// arrived.
func (p *person) pending() (unanswered, missing int64) {
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

func (p *person) missing() (list []lost) {
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

// cut enters that all receivers were cut off: each message that they acknowledged
// before may come again once.
func (p *person) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.records {
		if p.records[i].state&acked != 0 {
			p.records[i].state |= cutOff
		}
	}
}

// again says whether a message that came in was acknowledged before the cut, and
// comes again for the first time. Of a message that trim dropped only the former is
// known.
func (p *person) again(number int64) bool {
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

// trim adds the oldest records to c and drops them: those sent before a moment, up to
// the first that is not done with.
func (p *person) trim(before int64, c *Check) {
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

// forgetCursor has the next connection begin without one.
func (p *person) forgetCursor() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cursor = nil
}

// count adds what became of the record to c.
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

// settle adds what became of the records to c, and forgets them.
func (p *person) settle(c *Check) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.records {
		r.count(c)
	}
	p.base += int64(len(p.records))
	p.records = p.records[:0]
	clear(p.copies)
}
