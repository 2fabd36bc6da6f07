package client

import (
	"slices"
	"time"

	"roost/schemas"
)

// Bounds of an outbox.
const (
	completedLimit = schemas.MaxOutstanding // completed sends whose result is kept for Resend
	retryAfter     = time.Second            // if the server asks for a retry without a time
)

// send is one message or update to the server.
type send struct {
	Outgoing
	encoded []byte // the frame, the same bytes for each retry

	stored    bool      // the store has it; only then may it be written
	written   bool      // the server may have it
	conn      int       // the number of the connection that awaits its answer; 0: it has to be written
	notBefore time.Time // the end of the pause that the server asked for

	done     chan struct{} // closed after the fields below are set
	received schemas.MessageReceived
	err      error
}

func newSend(o Outgoing) *send {
	return &send{Outgoing: o, encoded: schemas.EncodeFrame(o.frame()), done: make(chan struct{})}
}

// outbox holds the outstanding sends in the order of their numbers.
//
// The server deduplicates a retry among the last max_outstanding_sends that it accepted from
// a device. So the outbox bounds the span of the outstanding numbers, not their count. If a
// number were a whole window beyond the oldest outstanding one, the server could have
// accepted that one and evicted its send record.
type outbox struct {
	last        schemas.ClientMessageID // the newest number
	window      schemas.ClientMessageID // max_outstanding_sends
	outstanding []*send                 // ascending numbers
	restored    []*send                 // those that the store had outstanding at the start
	completed   []*send                 // oldest first, at most completedLimit
	hold        time.Time               // no send is written before, because of the rate limit

	room chan struct{} // closed and replaced after the window moves
}

func newOutbox(state State) outbox {
	o := outbox{last: state.LastSend, window: schemas.MaxOutstanding, room: make(chan struct{})}
	for _, left := range state.Outstanding {
		s := newSend(left)
		s.stored, s.written = true, true
		o.outstanding = append(o.outstanding, s)
		o.last = max(o.last, s.MessageIDByClient)
	}
	slices.SortFunc(o.outstanding, func(a, b *send) int {
		return int(a.MessageIDByClient - b.MessageIDByClient)
	})
	o.restored = slices.Clone(o.outstanding)
	return o
}

// add numbers a send and adds it. It returns nil if the window is full; then room closes
// before another try can succeed.
func (o *outbox) add(out Outgoing) *send {
	if len(o.outstanding) > 0 && o.last+1-o.outstanding[0].MessageIDByClient >= o.window {
		return nil
	}
	o.last++
	out.MessageIDByClient = o.last
	s := newSend(out)
	o.outstanding = append(o.outstanding, s)
	return s
}

// take returns the frames to write now on connection conn, in the order of their numbers. If
// again is not 0, there may be more after that time.
func (o *outbox) take(conn int, now time.Time) (frames [][]byte, again time.Duration) {
	var inFlight schemas.ClientMessageID
	for _, s := range o.outstanding {
		if s.conn == conn {
			inFlight++
		}
	}
	for _, s := range o.outstanding {
		if s.conn == conn {
			continue
		}
		if !s.stored || inFlight >= o.window {
			break // later sends must not overtake it
		}
		pause := max(s.notBefore.Sub(now), o.hold.Sub(now))
		if pause > 0 {
			if again == 0 || pause < again {
				again = pause
			}
			continue
		}
		s.conn, s.written = conn, true
		inFlight++
		frames = append(frames, s.encoded)
	}
	return frames, again
}

// awaitsAnswer reports whether a send awaits its answer on connection conn.
func (o *outbox) awaitsAnswer(conn int) bool {
	return slices.ContainsFunc(o.outstanding, func(s *send) bool { return s.conn == conn })
}

func (o *outbox) find(number schemas.ClientMessageID) *send {
	for _, s := range o.outstanding {
		if s.MessageIDByClient == number {
			return s
		}
	}
	return nil
}

// findAny finds an outstanding or completed send.
func (o *outbox) findAny(number schemas.ClientMessageID) *send {
	for _, list := range [][]*send{o.outstanding, o.completed, o.restored} {
		for _, s := range list {
			if s.MessageIDByClient == number {
				return s
			}
		}
	}
	return nil
}

// complete ends s with its result.
func (o *outbox) complete(s *send, received schemas.MessageReceived, err error) {
	o.remove(s)
	o.completed = append(o.completed, s)
	if len(o.completed) > completedLimit {
		o.completed = slices.Delete(o.completed, 0, 1)
	}
	s.received, s.err = received, err
	close(s.done)
}

// postpone retries s after a pause. If all is set, no other send is written before then.
func (o *outbox) postpone(s *send, now time.Time, pause time.Duration, all bool) {
	s.conn, s.notBefore = 0, now.Add(pause)
	if all && s.notBefore.After(o.hold) {
		o.hold = s.notBefore
	}
}

// remove removes s. Its number is never used again.
func (o *outbox) remove(s *send) {
	o.outstanding = slices.DeleteFunc(o.outstanding, func(w *send) bool { return w == s })
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
