package client

import (
	"slices"
	"time"

	"roost/schemas"
)

// Bounds of an outbox.
const (
	settledLimit = schemas.MaxOutstanding // settled sends whose result is kept for Resend
	retryAfter   = time.Second            // where the server says to try again but not when
)

// send is one message, or update, on its way to the server.
type send struct {
	Outgoing
	encoded []byte // what is written, the same bytes each time

	stored    bool      // the store has it; not before may it be written
	written   bool      // the server may have it
	conn      int       // the connection on which it waits for its answer; 0: it has to be written
	notBefore time.Time // the server asked for a pause

	done     chan struct{} // closed when the fields below are set
	received schemas.MessageReceived
	err      error
}

func newSend(o Outgoing) *send {
	return &send{Outgoing: o, encoded: schemas.EncodeFrame(o.frame()), done: make(chan struct{})}
}

// outbox holds the sends without answer, by number.
//
// The server recognises a repeat among the last max_outstanding_sends that it
// accepted of a device. So not the count of outstanding sends is bounded but
// their span: no number is given that is a whole window beyond the oldest
// outstanding one, which the server could by then have accepted and forgotten.
type outbox struct {
	last     schemas.ClientMessageID // the newest number given
	window   schemas.ClientMessageID // max_outstanding_sends
	waiting  []*send                 // ascending
	restored []*send                 // what waited when the client began
	settled  []*send                 // oldest first, at most settledLimit
	hold     time.Time               // no send is written before: rate limited

	room chan struct{} // closed, and made anew, when the window moves
}

func newOutbox(state State) outbox {
	o := outbox{last: state.LastSend, window: schemas.MaxOutstanding, room: make(chan struct{})}
	for _, left := range state.Outstanding {
		s := newSend(left)
		s.stored, s.written = true, true
		o.waiting = append(o.waiting, s)
		o.last = max(o.last, s.MessageIDByClient)
	}
	slices.SortFunc(o.waiting, func(a, b *send) int {
		return int(a.MessageIDByClient - b.MessageIDByClient)
	})
	o.restored = slices.Clone(o.waiting)
	return o
}

// add gives what is to be sent the next number. It returns nil when the window is full; room
// is then closed when it is worth asking again.
func (o *outbox) add(out Outgoing) *send {
	if len(o.waiting) > 0 && o.last+1-o.waiting[0].MessageIDByClient >= o.window {
		return nil
	}
	o.last++
	out.MessageIDByClient = o.last
	s := newSend(out)
	o.waiting = append(o.waiting, s)
	return s
}

// take gives the bytes to write now on connection conn, in order of their
// numbers, and how long until there may be more; 0 is until something changes.
func (o *outbox) take(conn int, now time.Time) (frames [][]byte, again time.Duration) {
	var onWire schemas.ClientMessageID
	for _, s := range o.waiting {
		if s.conn == conn {
			onWire++
		}
	}
	for _, s := range o.waiting {
		if s.conn == conn {
			continue
		}
		if !s.stored || onWire >= o.window {
			break // those behind it shall not overtake it
		}
		pause := max(s.notBefore.Sub(now), o.hold.Sub(now))
		if pause > 0 {
			if again == 0 || pause < again {
				again = pause
			}
			continue
		}
		s.conn, s.written = conn, true
		onWire++
		frames = append(frames, s.encoded)
	}
	return frames, again
}

// asked says whether a send waits for its answer on connection conn.
func (o *outbox) asked(conn int) bool {
	return slices.ContainsFunc(o.waiting, func(s *send) bool { return s.conn == conn })
}

func (o *outbox) find(number schemas.ClientMessageID) *send {
	for _, s := range o.waiting {
		if s.MessageIDByClient == number {
			return s
		}
	}
	return nil
}

// lookUp is find, and among those that are settled too.
func (o *outbox) lookUp(number schemas.ClientMessageID) *send {
	for _, list := range [][]*send{o.waiting, o.settled, o.restored} {
		for _, s := range list {
			if s.MessageIDByClient == number {
				return s
			}
		}
	}
	return nil
}

// settle ends s with the server's answer.
func (o *outbox) settle(s *send, received schemas.MessageReceived, err error) {
	o.remove(s)
	o.settled = append(o.settled, s)
	if len(o.settled) > settledLimit {
		o.settled = slices.Delete(o.settled, 0, 1)
	}
	s.received, s.err = received, err
	close(s.done)
}

// postpone has s written again after a pause, and where all is held back, any
// other as well.
func (o *outbox) postpone(s *send, now time.Time, pause time.Duration, all bool) {
	s.conn, s.notBefore = 0, now.Add(pause)
	if all && s.notBefore.After(o.hold) {
		o.hold = s.notBefore
	}
}

// remove takes s out; its number is not given again.
func (o *outbox) remove(s *send) {
	o.waiting = slices.DeleteFunc(o.waiting, func(w *send) bool { return w == s })
	close(o.room)
	o.room = make(chan struct{})
}

func listOf(sends []*send) []Outgoing {
	list := make([]Outgoing, len(sends))
	for i, s := range sends {
		list[i] = s.Outgoing
	}
	return list
}
