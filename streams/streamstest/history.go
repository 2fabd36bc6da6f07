package streamstest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"roost/schemas"
	"roost/streams/inbox"
)

// testHistories is a device, two writers and a network that loses: any of many
// things happens in any order. However it goes,
//
//   - every entry was delivered or is still there to be delivered,
//   - an entry leaves the inbox only after the device had it,
//   - what the device has by the cursor it resumes with is not sent again,
//   - what it acknowledged, all before it included, and then closed in order, is
//     not sent again.
func testHistories(t *testing.T, s *stage) {
	for _, tellAll := range []bool{true, false} {
		t.Run(fmt.Sprintf("all live %t", tellAll), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				h := newHistory(t, r, s, tellAll)
				defer h.cleanUp()
				r.Repeat(map[string]func(*rapid.T){
					"commit":     h.commit,
					"meanwhile":  h.commitMeanwhile,
					"tell late":  h.tellLate,
					"connect":    h.connect,
					"disconnect": h.disconnect,
					"kill":       h.kill,
					"ack":        h.ack,
					"ack cursor": h.ackCursor,
					"settle":     h.settle,
					"disturb":    h.disturb,
					"sweep":      h.sweep,
					"":           h.check,
				})
				h.finish()
			})
		})
	}
}

// history is the model: what was committed, what the device stored.
type history struct {
	t       *testing.T
	r       *rapid.T
	s       *stage
	senders [2]*Sender
	tellAll bool

	committed []Sent // all that are known, by sequence after join
	poison    map[schemas.MessageID]bool
	untold    []Sent
	meanwhile []chan []Sent              // commits under way
	stored    map[schemas.MessageID]bool // by the device, on any connection
	gone      map[schemas.MessageID]bool // acknowledged, and the connection closed in order
	late      map[schemas.MessageID]bool // told of late, perhaps after they were gone
	cursors   []point                    // that the device has seen

	now    *connection // nil while the device is away
	killed []*connection
}

// point is a cursor that came with the n-th delivery of a connection.
type point struct {
	cursor schemas.Cursor
	on     *connection
	n      int
}

// has is what the device had then: what it resumed behind, and what came since.
func (p point) has() map[schemas.MessageID]bool {
	if p.on == nil {
		return nil
	}
	all := maps.Clone(p.on.resume)
	if all == nil {
		all = make(map[schemas.MessageID]bool)
	}
	for _, m := range p.on.Got()[:p.n] {
		all[m.MessageID] = true
	}
	return all
}

type connection struct {
	*Device
	resume map[schemas.MessageID]bool // what it said it has
	gone   map[schemas.MessageID]bool // history.gone when it began
	taken  int                        // deliveries that the model has looked at
}

func newHistory(t *testing.T, r *rapid.T, s *stage, tellAll bool) *history {
	h := &history{t: t, r: r, s: s, tellAll: tellAll, poison: make(map[schemas.MessageID]bool),
		stored: make(map[schemas.MessageID]bool), gone: make(map[schemas.MessageID]bool), late: make(map[schemas.MessageID]bool)}
	to := NewAddress(s.gateways[0].Conn)
	for i := range h.senders {
		h.senders[i] = &Sender{T: t, Conn: s.gateways[i].Conn, From: schemas.UserID(fmt.Sprint("sender", i)), To: to}
	}
	return h
}

func (h *history) commit(r *rapid.T) {
	sender := h.senders[rapid.IntRange(0, 1).Draw(r, "writer")]
	n := 1
	if rapid.IntRange(0, 19).Draw(r, "burst") == 0 {
		n = rapid.SampledFrom([]int{70, 70, 300}).Draw(r, "size")
	}
	live := h.tellAll || rapid.Bool().Draw(r, "live")
	var batch []Sent
	switch {
	case n > 1:
		batch = sender.CommitMany(n)
	case rapid.IntRange(0, 19).Draw(r, "poison") == 0:
		batch = []Sent{sender.CommitPoison()}
		h.poison[batch[0].ID] = true
	default:
		batch = []Sent{sender.Commit(fmt.Sprint("m", len(h.committed)))}
	}
	h.committed = append(h.committed, batch...)
	for _, e := range batch {
		if live {
			sender.Tell(e)
		} else {
			h.untold = append(h.untold, e)
		}
	}
}

// commitMeanwhile commits and tells, in another order, while other things happen.
func (h *history) commitMeanwhile(r *rapid.T) {
	if len(h.meanwhile) > 2 {
		r.SkipNow()
	}
	sender, n := h.senders[pick(r, "writer", 2)], 1+pick(r, "size", 20)
	step := 1 + pick(r, "every", 3) // tell only every third of them, say
	done := make(chan []Sent, 1)
	h.meanwhile = append(h.meanwhile, done)
	go func() {
		all, err := sender.commitMany(n)
		if err != nil {
			h.t.Error(err)
		}
		for i := len(all) - 1; i >= 0; i -= step {
			sender.Tell(all[i])
		}
		done <- all
	}()
}

// join waits for what is committed meanwhile.
func (h *history) join() {
	for _, done := range h.meanwhile {
		h.committed = append(h.committed, Receive(h.t, done)...)
	}
	h.meanwhile = nil
	slices.SortFunc(h.committed, func(a, b Sent) int { return cmp.Compare(a.Sequence, b.Sequence) })
}

// tellLate publishes a live message long after it was committed.
func (h *history) tellLate(r *rapid.T) {
	if len(h.untold) == 0 {
		r.SkipNow()
	}
	i := pick(r, "which", len(h.untold))
	h.senders[0].Tell(h.untold[i])
	h.late[h.untold[i].ID] = true
	h.untold = append(h.untold[:i:i], h.untold[i+1:]...)
}

// connect, at either gateway, with no cursor or any that the device ever saw.
func (h *history) connect(r *rapid.T) {
	if h.now != nil {
		r.SkipNow()
	}
	h.begin(pick(r, "resume", len(h.cursors)+1)-1, pick(r, "gateway", 2))
}

func (h *history) begin(resume, gateway int) {
	var p point
	if resume >= 0 {
		p = h.cursors[resume]
	}
	h.now = &connection{Device: h.s.connect(h.t, h.s.gateways[gateway], h.senders[0].To, p.cursor),
		resume: p.has(), gone: maps.Clone(h.gone)}
}

// take lets the model see what came on the connection.
func (h *history) take(c *connection) {
	got := c.Got()
	for _, m := range got[c.taken:] {
		id := m.MessageID
		if c.resume[id] {
			h.r.Fatalf("%q was sent again to a device that resumed behind it", m.Content)
		}
		if c.gone[id] && !h.late[id] { // told late, it comes to who has connected again meanwhile
			h.r.Fatalf("%q was sent again after it was acknowledged and the connection closed in order", m.Content)
		}
		h.stored[id] = true
		c.taken++
		h.cursors = append(h.cursors, point{m.Cursor, c, c.taken})
	}
	for _, f := range c.Faults() {
		h.r.Fatal(f)
	}
}

// pick is a number below n. How many deliveries there are is a matter of time;
// what is drawn does not depend on it.
func pick(r *rapid.T, label string, n int) int {
	return rapid.IntRange(0, 1<<16).Draw(r, label) % n
}

func (h *history) disconnect(r *rapid.T) {
	if h.now == nil {
		r.SkipNow()
	}
	h.close()
}

func (h *history) close() {
	c := h.now
	h.now = nil
	c.Close(h.t)
	h.take(c)
	c.mu.Lock()
	drained := len(c.drained) > 0
	c.mu.Unlock()
	h.join()
	for _, e := range h.committed {
		switch {
		case h.gone[e.ID]:
		case !h.poison[e.ID] && (c.Acked(e.ID) || c.resume[e.ID] && drained):
			h.gone[e.ID] = true
		default:
			return // nothing is said of what lies behind it
		}
	}
}

// kill leaves the connection as a gateway does that is cut off: it goes on by
// itself, and nobody hears of it.
func (h *history) kill(r *rapid.T) {
	if h.now == nil || len(h.killed) > 2 {
		r.SkipNow()
	}
	h.take(h.now)
	h.killed = append(h.killed, h.now)
	h.now = nil
}

func (h *history) ack(r *rapid.T) {
	c := h.connected(r)
	got := c.Got()
	n := 1 + pick(r, "how many", len(got))
	if rapid.Bool().Draw(r, "oldest first") {
		c.Ack(IDs(got[:n])...)
		return
	}
	for range min(n, 8) {
		c.Ack(got[pick(r, "which", len(got))].MessageID)
	}
}

func (h *history) ackCursor(r *rapid.T) {
	c := h.connected(r)
	got := c.Got()
	if _, err := c.AckUpTo(got[pick(r, "up to", len(got))].Cursor); err != nil {
		r.Fatal(err)
	}
}

// connected is a connection that has something to acknowledge: one that was cut
// off may have acknowledgements under way.
func (h *history) connected(r *rapid.T) *connection {
	all := h.killed
	if h.now != nil {
		all = append(slices.Clone(h.killed), h.now, h.now, h.now)
	}
	if len(all) == 0 {
		r.SkipNow()
	}
	c := all[pick(r, "connection", len(all))]
	h.take(c)
	if c.taken == 0 {
		r.SkipNow()
	}
	return c
}

// settle waits until everything on its way has arrived.
func (h *history) settle(r *rapid.T) {
	if h.now == nil || h.now.Ended() != 0 {
		r.SkipNow()
	}
	for i, sender := range h.senders {
		frame := fmt.Sprint("settle", i, len(h.committed), r.Name(), h.now.taken)
		sender.Conn.Bus().PublishFrame(sender.To, []byte(frame))
		if !h.now.await(func() bool {
			for _, f := range h.now.frames {
				if f == frame {
					return true
				}
			}
			return len(h.now.ended) > 0
		}) {
			r.Fatal("a frame did not come")
		}
	}
}

func (h *history) disturb(r *rapid.T) {
	if h.now == nil {
		r.SkipNow()
	}
	for range rapid.IntRange(1, 20).Draw(r, "gaps") {
		h.s.suite.disturb(h.now.Inbox)
	}
}

func (h *history) sweep(r *rapid.T) {
	for _, g := range h.s.gateways {
		h.s.suite.sweep(g.inboxes)
	}
}

// check holds after every step.
func (h *history) check(r *rapid.T) {
	h.r = r
	if h.now == nil {
		return
	}
	h.take(h.now)
	switch h.now.Ended() {
	case inbox.EndSlow:
		h.close()
	case 0:
	default:
		r.Fatalf("the connection ended with %d", h.now.Ended())
	}
}

// finish connects until nothing is left, and then nothing may be missing.
func (h *history) finish() {
	if h.now != nil {
		h.close()
	}
	h.join()
	h.begin(pick(h.r, "last resume", len(h.cursors)+1)-1, 0)
	c := h.now
	for done := 0; ; {
		if !c.await(func() bool { return len(c.got) > done || len(c.drained) > 0 || len(c.ended) > 0 }) {
			h.r.Fatal("the inbox was not drained")
		}
		got := c.Got()
		c.Ack(IDs(got[done:])...)
		if len(got) == done {
			break
		}
		done = len(got)
	}
	h.take(c)
	if c.Ended() != 0 {
		h.r.Fatalf("the connection ended with %d", c.Ended())
	}
	for i, e := range h.committed {
		if !h.stored[e.ID] && !h.poison[e.ID] {
			h.r.Fatalf("LOST: entry %d, sequence %d, was never delivered", i, e.Sequence)
		}
	}
	h.close()
	h.begin(-1, 1)
	if c := h.now.Device; !c.await(func() bool { return len(c.drained) > 0 }) {
		h.r.Fatal("the inbox was not drained")
	}
	if left := h.now.Got(); len(left) > 0 {
		h.r.Fatalf("%d messages are left after all were acknowledged: %s", len(left), Contents(left))
	}
	h.close()
}

func (h *history) cleanUp() {
	h.join()
	for _, c := range append(h.killed, h.now) {
		if c != nil {
			c.Close(h.t)
		}
	}
}
