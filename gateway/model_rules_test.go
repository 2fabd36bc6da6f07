package gateway_test

import (
	"fmt"
	"math"
	"slices"

	"roost/schemas"
)

// The model of TestModel: who there is, what was sent, and for whom it is.

// moment orders what the test does and hears.
type moment int

const never moment = math.MaxInt

// span is a time in which something was so: for sure between from and until, and
// perhaps from first on and up to last.
type span struct{ first, from, until, last moment }

// since is a span that goes on, of what was asked for and answered at these moments.
func since(asked, answered moment) span { return span{asked, answered, never, never} }

func (s *span) end(asked, answered moment) { s.until, s.last = asked, answered }

// attempt is one time that something was sent; done is never until it was accepted.
type attempt struct{ begun, done moment }

// fits says whether it was so for all of an attempt, for sure, or else whether it
// may have been so at some time of it.
func (s span) fits(a attempt, surely bool) bool {
	if surely {
		return s.from <= a.begun && a.done <= s.until
	}
	return s.first <= a.done && a.begun <= s.last
}

func anyFits(all []span, a attempt, surely bool) bool {
	return slices.ContainsFunc(all, func(s span) bool { return s.fits(a, surely) })
}

// user is a person. What is sent in the times of box waits for their next first device.
type user struct {
	id     schemas.UserID
	phones []*phone         // registered
	box    []span           // while they have no device the last one goes on
	old    []*phone         // removed
	blocks map[*user][]span // whom they block
	clocks int              // that gateways go by
}

// phone is a device.
type phone struct {
	owner   *user
	id      schemas.DeviceID
	born    moment
	lives   []span // what is sent in these reaches it; the last one is its own
	removed bool

	seen, acked map[*entry]bool // on any connection
	gone        map[*entry]bool // acknowledged, and the connection closed in order: it does not come again
	cursors     []point
	now         *link // nil while the device is away
	sent        []*entry
}

func (d *phone) String() string { return fmt.Sprintf("%s's device %s", d.owner.id, d.id) }

// team is a group.
type team struct {
	id      schemas.GroupID
	name    string
	members []member // the longest-standing first
	clocks  int      // that gateways go by
	times   map[*user][]span
}

type member struct {
	*user
	role schemas.Role
}

// entry is a message, or a change of a group.
type entry struct {
	what     string // its content, or the change in words
	id       schemas.MessageID
	team     *team
	attempts []attempt // those that may have stored it
	done     moment    // of the first one that was accepted

	// Of a message. The last attempt waits for its answer on a connection, or for none.
	frame *schemas.SendMessage
	from  *phone
	to    *user
	on    *link
	waits bool
	tried int // how often it was sent
	above schemas.MessageID

	told []*user // of a change
}

func (e *entry) String() string {
	if e.frame == nil {
		return fmt.Sprintf("the change %q", e.what)
	}
	return fmt.Sprintf("message %q of %s", e.what, e.from.owner.id)
}

// may says whether an entry may come to a device.
func (e *entry) may(d *phone) bool {
	return slices.ContainsFunc(e.attempts, func(a attempt) bool { return e.isFor(d, a, false) })
}

// must says whether it has to, as something that was accepted before a moment.
func (e *entry) must(d *phone, before moment) bool {
	return slices.ContainsFunc(e.attempts, func(a attempt) bool { return a.done < before && e.isFor(d, a, true) })
}

// isFor says whether one attempt makes a copy for a device, surely or perhaps.
func (e *entry) isFor(d *phone, a attempt, surely bool) bool {
	switch {
	case d == e.from || !anyFits(d.lives, a, surely) || surely && e.wentAlong(d.owner):
		return false
	case e.frame == nil:
		return slices.Contains(e.told, d.owner)
	case !e.sentTo(d, a, surely):
		return false
	case e.team == nil:
		return d.owner == e.from.owner || d.owner == e.to && !e.blocked(a, surely)
	}
	// A retry leaves out who joined since it was sent first, as far as clocks agree.
	return slices.ContainsFunc(e.team.times[d.owner], func(m span) bool {
		return m.fits(a, surely) && (since(m.first, m.from).fits(e.first(), surely) || !surely && e.team.clocks > 1)
	})
}

// sentTo says whether a device was there when the message got its id. A retry leaves
// out those that were registered since, as far as clocks agree, but not the oldest of
// a receiver: the message may wait for their first one.
func (e *entry) sentTo(d *phone, a attempt, surely bool) bool {
	return !surely && d.owner.clocks > 1 || d.owner != e.from.owner && d.oldest(a, surely) ||
		slices.ContainsFunc(d.lives, func(l span) bool { return since(l.first, l.from).fits(e.first(), surely) })
}

// oldest says whether a device was its owner's oldest one in an attempt, surely or perhaps.
func (d *phone) oldest(a attempt, surely bool) bool {
	return !slices.ContainsFunc(slices.Concat(d.owner.old, d.owner.phones), func(other *phone) bool {
		return other.born < d.born && other.lives[len(other.lives)-1].fits(a, !surely)
	})
}

// wentAlong says whether a removed device may have taken along the copy that waited
// for a person's first one. A retry does not store it again for the next.
func (e *entry) wentAlong(p *user) bool {
	return e.tried > 1 && slices.ContainsFunc(p.old, e.may)
}

// first is the time in which the message got its id.
func (e *entry) first() attempt { return attempt{e.attempts[0].begun, e.done} }

// blocked says whether the receiver's block may withhold an attempt, where its copy
// is surely asked for, and else whether it surely does. It does for good if it was
// there when the message got its id.
func (e *entry) blocked(a attempt, surely bool) bool {
	blocks := e.to.blocks[e.from.owner]
	if surely {
		return anyFits(blocks, attempt{e.attempts[0].begun, a.done}, false)
	}
	return anyFits(blocks, a, true) || anyFits(blocks, e.first(), true)
}

// precedes says whether an entry stands before another one in every inbox that both
// were sent to: what one connection sent, as it was accepted, and a change and a
// message of one group. A retry adds what was missing behind what came since.
func (e *entry) precedes(f *entry) bool {
	switch {
	case e.tried > 1 || f.tried > 1 || e.done == never || f.done == never:
		return false
	case e.frame != nil && f.frame != nil:
		return e.on == f.on && e.attempts[0].begun < f.attempts[0].begun && e.done < f.done
	}
	return e.team == f.team && e.done < f.attempts[0].begun
}

// ordered looks at the order in which entries came on a connection, once it is known
// when each was accepted. A first device's claim is copied behind what came meanwhile.
// A live copy of what others made may be overtaken.
func (s *story) ordered(c *link) {
	for i, e := range c.order {
		for _, f := range c.order[:i] {
			claimed := min(e.attempts[0].begun, f.attempts[0].begun) < c.phone.born
			live := e.done >= c.begun || f.done >= c.begun
			if e.precedes(f) && !claimed && (!live || e.frame != nil && f.frame != nil) {
				s.fail("%s came to %s behind %s, and belongs before it", e, c.phone, f)
			}
		}
	}
}

// deliver holds an entry that came on a connection against the rules.
func (s *story) deliver(c *link, e *entry, id schemas.MessageID, cursor schemas.Cursor) {
	d := c.phone
	switch {
	case e.id != "" && e.id != id:
		s.fail("%s came with the id %s, and has %s", e, id, e.id)
	case !e.may(d):
		s.fail("%s came to %s, and is not for it", e, d)
	case c.has(e):
		s.fail("%s came to %s twice on one connection", e, d)
	case c.resume[e]:
		s.fail("%s came to %s, which resumed behind it", e, d)
	case d.gone[e]:
		s.fail("%s came to %s, which acknowledged it before and closed in order", e, d)
	}
	s.note("%s came to %s", e, d)
	e.id, d.seen[e], c.above = id, true, max(c.above, id)
	c.order = append(c.order, e)
	d.cursors = append(d.cursors, point{cursor, c, len(c.order)})
}

// missing is an entry of those that has to come on the connection, and did not.
func (s *story) missing(c *link, of func(*entry) bool) *entry {
	for _, e := range s.entries {
		if of(e) && !c.has(e) && !c.resume[e] && !c.phone.acked[e] {
			return e
		}
	}
	return nil
}

// drain is the frame inbox_drained: all that was accepted before the connection came.
func (s *story) drain(c *link) {
	if c.drained {
		s.fail("%s got inbox_drained twice", c.phone)
	}
	c.drained = true
	if e := s.missing(c, func(e *entry) bool { return e.must(c.phone, c.begun) }); e != nil {
		s.fail("LOST: %s did not come to %s before inbox_drained", e, c.phone)
	}
}

// begin takes down that a message is sent.
func (s *story) begin(e *entry) {
	e.on, e.waits, e.above = e.from.now, true, e.from.now.above
	e.tried++
	e.attempts = append(e.attempts, attempt{s.tick(), never})
	s.note("%d: %s goes to %s%s", s.now, e, e.frame.ReceiverID, e.frame.GroupID)
}

// accept is the answer message_received.
func (s *story) accept(e *entry, id schemas.MessageID) {
	last := &e.attempts[len(e.attempts)-1]
	last.done = s.tick()
	switch {
	case e.id != "" && e.id != id:
		s.fail("%s got the id %s, and has %s", e, id, e.id)
	case e.team != nil && !anyFits(e.team.times[e.from.owner], *last, false):
		s.fail("%s was accepted, though its sender is no member", e)
	case e.tried == 1 && e.above >= id:
		s.fail("%s got the id %s, which is not larger than what its sender had seen", e, id)
	}
	e.id, e.waits, e.done = id, false, min(e.done, last.done)
	e.on.above = max(e.on.above, id)
	s.note("%d: %s is accepted", s.now, e)
}

// refuse is the answer error. Who is no member has stored nothing by it.
func (s *story) refuse(e *entry, f *schemas.ErrorFrame) {
	e.waits = false
	last := len(e.attempts) - 1
	a := attempt{e.attempts[last].begun, s.tick()}
	switch {
	case f.Code == schemas.CodeUnavailable:
	case f.Code == schemas.CodeNotAMember && e.team != nil && !anyFits(e.team.times[e.from.owner], a, true):
		e.attempts = e.attempts[:last]
	default:
		s.fail("%s got the error %s: %s", e, f.Code, f.Message)
	}
	s.note("%d: %s is refused: %s", s.now, e, f.Code)
}

// unknown says whether a message may be stored or not.
func (e *entry) unknown() bool { return len(e.attempts) > 0 && e.done == never }
