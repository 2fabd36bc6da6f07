package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// MixedOptions are the parameters of [Mixed].
type MixedOptions struct {
	People   int
	Rate     float64       // sends a second, together
	Stay     time.Duration // connected or away, on average; 0: 2 minutes
	Size     int
	Warmup   time.Duration
	Duration time.Duration
}

const (
	contactsEach  = 20
	onlineShare   = 0.75            // of the people, at any time
	toOnline      = 0.85            // of the sends
	lateShare     = 0.1             // of the people acknowledge late
	lateEvery     = time.Second     // by so much
	stayFor       = 2 * time.Minute // default of MixedOptions.Stay
	cutShare      = 0.25            // of those who go lose the connection without a word
	mostUnsettled = 16              // sends without an answer, beyond which a person waits
)

// Mixed is a day in a chat app at a rate: people come and go, write to their
// contacts, most of whom are there, and some acknowledge late. Latencies are from
// the due time, end to end only where the receiver was connected.
func Mixed(ctx context.Context, env *Env, o MixedOptions) (Result, error) {
	if o.Stay == 0 {
		o.Stay = stayFor
	}
	r := Result{Name: "mixed", Title: fmt.Sprintf("a day in a chat app, %d people, %.0f/s", o.People, o.Rate)}
	r.add(FigureRate, o.Rate, "/s")
	people, err := env.need(ctx, o.People)
	if err != nil {
		return r, err
	}
	m := &mixed{people: people, size: o.Size, random: rand.New(rand.NewPCG(1, 2)), late: make(map[*link][]lateAck)}
	t := newTraffic(env.people)
	t.keep = m.keep
	m.crowd = newCrowd(ctx, env, t)
	m.crowd.retries = connectRetries
	first := int(float64(len(people)) * onlineShare)
	err = m.crowd.connect(people[:first], connecting)
	if err == nil {
		err = m.run(o, &r)
	}
	if err == nil { // all come back for what waits for them
		err = m.crowd.connect(m.away(), connecting)
	}
	m.endOfDay()
	return r, m.crowd.finish(err, people, &r)
}

// mixed is the state of a day.
type mixed struct {
	// Static.
	crowd  *crowd
	people []*person
	size   int

	going  sync.Mutex // held while somebody sends, comes or goes; guards random
	random *rand.Rand

	mu   sync.Mutex // guards the rest
	late map[*link][]lateAck
	done bool // the day is over: nothing is put off any more
}

// lateAck is an acknowledgement that waits.
type lateAck struct {
	id, cursor string
	sender     *person
	number     int64
}

func (m *mixed) run(o MixedOptions, r *Result) error {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() { pace(o.Rate, stop, m.write) })
	wg.Go(func() { every(max(o.Stay/time.Duration(o.People), time.Nanosecond), stop, m.comeOrGo) })
	wg.Go(func() { every(lateEvery, stop, m.acknowledge) })
	return m.crowd.span(o.Warmup, o.Duration, r)
}

// write has somebody who is connected write to a contact.
func (m *mixed) write(due int64) {
	m.going.Lock()
	defer m.going.Unlock()
	l := m.someone()
	if l == nil {
		return
	}
	online := m.random.Float64() < toOnline
	to := m.contact(l.person)
	for range contactsEach {
		if (m.crowd.link(to) != nil) == online {
			break
		}
		to = m.contact(l.person)
	}
	l.send(to, m.size, due)
	_ = l.flush() // the reader finds out
}

// someone is a connected person who does not wait for many answers.
func (m *mixed) someone() *link {
	for range 4 * contactsEach {
		l := m.crowd.link(m.people[m.random.IntN(len(m.people))])
		if l == nil || l.leaving.Load() {
			continue
		}
		if unanswered, _ := l.person.pending(); unanswered < mostUnsettled {
			return l
		}
	}
	return nil
}

// contact is one of the people whom p knows: those that follow in the list.
func (m *mixed) contact(p *person) *person {
	return m.people[(p.index+1+m.random.IntN(min(contactsEach, len(m.people)-1)))%len(m.people)]
}

// comeOrGo connects somebody who is away, or has somebody go who waits for no
// answer, and waits until that is done. Were somebody still on the way out when the
// day ends, away would not have them, and nobody would bring them back for what
// waits for them.
func (m *mixed) comeOrGo() {
	m.going.Lock()
	p := m.people[m.random.IntN(len(m.people))]
	come := m.random.Float64() < onlineShare
	l := m.crowd.link(p)
	goes := false
	if l != nil && !come {
		unanswered, _ := p.pending()
		goes = unanswered == 0
	}
	if goes && m.random.Float64() < cutShare {
		l.cut()
	} else if goes {
		l.leave()
	}
	m.going.Unlock()
	switch {
	case goes:
		<-l.ended
	case l == nil && come:
		if err := m.crowd.persist(m.crowd.ctx, p); err != nil {
			m.crowd.cancel(err)
		}
	}
}

// away are those who are not connected. It is exact while nobody comes or goes.
func (m *mixed) away() []*person {
	var list []*person
	for _, p := range m.people {
		if m.crowd.link(p) == nil {
			list = append(list, p)
		}
	}
	return list
}

// keep puts the acknowledgements of some people off.
func (m *mixed) keep(l *link, a lateAck) bool {
	if float64(l.person.index%100) >= 100*lateShare {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.done {
		return false
	}
	m.late[l] = append(m.late[l], a)
	return true
}

// endOfDay acknowledges all that was put off, and from now on everything at once.
func (m *mixed) endOfDay() {
	m.mu.Lock()
	m.done = true
	m.mu.Unlock()
	m.acknowledge()
}

// acknowledge sends what was put off. What belongs to a link that has ended comes
// again on the next one.
func (m *mixed) acknowledge() {
	m.mu.Lock()
	late := m.late
	m.late = make(map[*link][]lateAck)
	m.mu.Unlock()
	m.going.Lock()
	defer m.going.Unlock()
	for l, list := range late {
		if l.leaving.Load() {
			continue
		}
		for _, a := range list {
			if l.delivered([]byte(a.id)) {
				a.sender.acknowledge(a.number, l.person)
				l.person.have([]byte(a.cursor))
			}
		}
		_ = l.flush() // the reader finds out
	}
}

// every calls do until stop is closed. A call that takes long delays the next.
func every(d time.Duration, stop <-chan struct{}, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			do()
		}
	}
}
