package gateway_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roost/gateway"
	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/streamstest"
)

var (
	histories    = flag.Int("histories", 1000, "how many random histories TestModel plays, in rounds of -rapid.checks")
	historiesFor = flag.Duration("histories-for", 4*time.Minute, "after which time TestModel begins no more of them")
)

// TestModel plays random histories of people, devices, blocks, groups, sends,
// acknowledgements, lost connections and restarts of gateways, and compares what
// each device gets with a model of what it must and may get. However it goes,
//
//   - what was accepted comes to every device that it is for, also to one that was
//     away, at whatever gateway it connects, before inbox_drained,
//   - nothing comes to another device: not to the one that sent it, not to who was
//     removed before it was sent, added after, or blocks the sender, not to a device
//     registered later, but for a person's first one,
//   - nothing comes twice on a connection, nor behind a cursor that the device
//     resumed with, nor after all was acknowledged and the connection closed in order,
//   - what one connection sent comes in that order, and a change of a group stands in
//     the inbox where it was made among the group's messages,
//   - a retry gets the first message id, and ids are larger than what the sender saw,
//   - once all is acknowledged, nothing comes any more.
//
// A failure prints the history, and how rapid plays it again. Which of two things
// that happen at once comes first is not drawn, so it may take several attempts.
func TestModel(t *testing.T) {
	kinds := []struct {
		name     string
		gateways int
		topology streams.Topology
		options  streams.Options
	}{
		{"two gateways", 2, streams.Topology{Partitions: 2}, streams.Options{}},
		{"alone", 1, streams.Topology{}, streams.Options{SingleProcess: true}},
	}
	if steps := flag.Lookup("rapid.steps"); steps.Value.String() == steps.DefValue {
		_ = steps.Value.Set("20") // short histories find as much, and more of them
	}
	checks := flag.Lookup("rapid.checks").Value.(flag.Getter).Get().(int)
	began := time.Now()
	var played atomic.Int64
	t.Cleanup(func() { t.Logf("TestModel: %d histories in %s", played.Load(), time.Since(began).Round(time.Second)) })
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			for n := 0; n < *histories/len(kinds) && time.Since(began) < *historiesFor; n += checks {
				w := &world{t: &round{T: t}, topology: kind.topology, options: kind.options}
				w.play(kind.gateways, &played)
			}
		})
	}
}

// round is a part of a test that cleans up behind itself. It has the test's name,
// which rapid says for playing a history again.
type round struct {
	*testing.T
	after []func()
}

func (r *round) Cleanup(f func()) { r.after = append(r.after, f) }

func (r *round) TempDir() string {
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (r *round) end() {
	for i := len(r.after) - 1; i >= 0; i-- {
		r.after[i]()
	}
}

// world is what the histories of a round have in common: a server and its gateways.
// Each history has people of its own.
type world struct {
	t        *round
	nats     *embedded.Server
	topology streams.Topology
	options  streams.Options
	houses   []*house
	people   int  // ever
	failed   bool // a history did
}

func (w *world) play(gateways int, played *atomic.Int64) {
	defer w.t.end()
	w.nats = streamstest.Server(w.t, w.t.TempDir())
	for range gateways {
		w.houses = append(w.houses, w.open())
	}
	rapid.Check(w.t, func(r *rapid.T) {
		(&story{w: w, r: r}).play()
		played.Add(1)
	})
}

func (w *world) open() *house {
	conn := streamstest.Connect(w.t, w.nats, w.topology, func(o *streams.Options) { o.SingleProcess = w.options.SingleProcess })
	return moveIn(w.t, w.nats, conn, func(o *gateway.Options) { o.Limits = gateway.Limits{} })
}

// story is one history and its model.
type story struct {
	w *world
	r *rapid.T

	now     moment
	people  []*user
	teams   []*team
	entries []*entry
	links   []*link
	told    []string // what happened
}

func (s *story) play() {
	defer s.cleanUp()
	for range 3 {
		p := s.newPerson()
		for range s.pick("devices", 3) {
			s.register(p, false)
		}
	}
	if s.chance("group", 2) {
		s.newTeam(s.people[0], s.people[1:])
	}
	steps := make(map[string]func(*rapid.T))
	for name, step := range map[string]func(){ // rapid draws the first ones more often
		"01 send": s.send, "02 shout": s.shout, "03 connect": s.connect, "04 ack": s.ack, "05 kill": s.kill,
		"06 disconnect": s.disconnect, "07 ack by cursor": s.ackCursor, "08 retry": s.retry, "09 remove": s.remove,
		"10 add": s.add, "11 device": s.device, "12 drop device": s.dropDevice, "13 send": s.send, "14 connect": s.connect,
		"15 block": s.block, "16 settle": s.settle, "17 group": s.group, "18 rename": s.rename, "19 person": s.person,
		"20 restart": s.restart,
	} {
		steps[name] = func(r *rapid.T) { s.r = r; step() }
	}
	steps[""] = func(r *rapid.T) { s.r = r; s.look() }
	s.r.Repeat(steps)
	s.finish()
}

// look is taken after every step: what came holds against the rules, and nobody was
// disconnected.
func (s *story) look() {
	for _, d := range s.phones(connected) {
		s.take(d.now)
		if err := d.now.over(); err != nil {
			s.fail("the connection of %s ended: %v", d, err)
		}
	}
}

// finish has every device connect until it has acknowledged everything.
func (s *story) finish() {
	for _, e := range s.entries {
		if e.frame == nil || e.from.removed {
			continue
		}
		if e.waits {
			s.answer(e)
		}
		for e.unknown() {
			if e.from.now == nil {
				s.dial(e.from, nil)
			}
			s.begin(e)
			s.write(e.on, e.frame)
			s.answer(e)
			if e.done == never { // refused
				break
			}
		}
	}
	for _, p := range s.people {
		if len(p.phones) == 0 {
			s.register(p, false)
		}
		for _, d := range p.phones {
			if d.now != nil {
				s.quiet(d.now)
			}
			if d.now == nil || s.missing(d.now, func(e *entry) bool { return e.must(d, never) }) != nil { // of a retry
				s.dial(d, s.anyPoint(d))
				s.quiet(d.now)
			}
			s.acknowledge(d.now, d.now.order)
			s.leave(d)
		}
	}
	// What a device has acknowledged does not come again.
	d := one(s, "looks again", s.phones(func(*phone) bool { return true }))
	s.dial(d, nil)
	s.until(d.now, "inbox_drained", func() bool { return d.now.drained })
	for _, c := range s.links {
		s.ordered(c)
	}
}

// cleanUp leaves nothing behind of a history that failed.
func (s *story) cleanUp() {
	for _, c := range s.links {
		c.cut()
	}
}

// tick orders what follows behind all before.
func (s *story) tick() moment {
	s.now++
	return s.now
}

// note keeps what happened, in words.
func (s *story) note(format string, args ...any) {
	s.told = append(s.told, fmt.Sprintf(format, args...))
}

// fail ends the history. rapid shrinks it to one that fails with the same words: they
// are those of the format. Where a history fails once and not again, what rapid
// prints is of another run, so the first one is printed here.
func (s *story) fail(format string, args ...any) {
	if s.note(format, args...); !s.w.failed {
		s.w.failed = true
		s.w.t.Logf("The first history that failed:\n%s", strings.Join(s.told, "\n"))
	}
	s.r.Log(s.told[len(s.told)-1])
	s.r.Fatal(format)
}

// wait waits for what no frame tells of.
func (s *story) wait(what string, ok func() bool) {
	for deadline := time.Now().Add(streamstest.Timeout); !ok(); {
		if time.Now().After(deadline) {
			s.fail("in vain waited for %s", what)
		}
		time.Sleep(200 * time.Microsecond)
	}
}
