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
	Users    int
	Rate     float64       // sends a second, together
	Stay     time.Duration // connected or offline, on average; 0: 2 minutes
	Size     int
	Warmup   time.Duration
	Duration time.Duration
}

const (
	contactsEach   = 20
	onlineShare    = 0.75            // of the users, at any time
	toOnline       = 0.85            // of the sends
	lateShare      = 0.1             // of the users acknowledge late
	lateEvery      = time.Second     // the delay
	stayFor        = 2 * time.Minute // the default of MixedOptions.Stay
	cutShare       = 0.25            // of the disconnects are resets
	mostUnanswered = 16              // bounds the sends of a user without an answer
)

// Mixed is a day in a chat app at a rate. Users connect and disconnect, and write to their
// contacts, most of whom are online. Some acknowledge late. Latencies count from the due
// time, end to end only if the receiver was connected.
func Mixed(ctx context.Context, env *Env, o MixedOptions) (Result, error) {
	if o.Stay == 0 {
		o.Stay = stayFor
	}
	r := Result{Name: "mixed", Title: fmt.Sprintf("a day in a chat app, %d users, %.0f/s", o.Users, o.Rate)}
	r.add(FigureRate, o.Rate, "/s")
	users, err := env.need(ctx, o.Users)
	if err != nil {
		return r, err
	}
	m := &mixed{users: users, size: o.Size, random: rand.New(rand.NewPCG(1, 2)), late: make(map[*link][]lateAck)}
	t := newTraffic(env.users)
	t.delay = m.delay
	m.crowd = newCrowd(ctx, env, t)
	m.crowd.retries = connectRetries
	first := int(float64(len(users)) * onlineShare)
	err = m.crowd.connect(users[:first], connecting)
	if err == nil {
		err = m.run(o, &r)
	}
	if err == nil { // all reconnect for their inboxes
		err = m.crowd.connect(m.offline(), connecting)
	}
	m.stopDelaying()
	return r, m.crowd.finish(err, users, &r)
}

// mixed is the state of a day.
type mixed struct {
	// Static.
	crowd *crowd
	users []*user
	size  int

	going  sync.Mutex // held while a user sends, connects or leaves; guards random
	random *rand.Rand

	mu   sync.Mutex // guards the rest
	late map[*link][]lateAck
	done bool // the day is over: no acknowledgement is delayed any more
}

// lateAck is a delayed acknowledgement.
type lateAck struct {
	id, cursor string
	sender     *user
	number     int64
}

func (m *mixed) run(o MixedOptions, r *Result) error {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() { pace(o.Rate, stop, m.send) })
	wg.Go(func() { every(max(o.Stay/time.Duration(o.Users), time.Nanosecond), stop, m.connectOrLeave) })
	wg.Go(func() { every(lateEvery, stop, m.acknowledge) })
	return m.crowd.span(o.Warmup, o.Duration, r)
}

// send sends a message from a connected user to a contact.
func (m *mixed) send(due int64) {
	m.going.Lock()
	defer m.going.Unlock()
	l := m.pick()
	if l == nil {
		return
	}
	online := m.random.Float64() < toOnline
	to := m.contact(l.user)
	for range contactsEach {
		if (m.crowd.link(to) != nil) == online {
			break
		}
		to = m.contact(l.user)
	}
	l.send(to, m.size, due)
	_ = l.flush() // the reader gets the error
}

// pick returns a connected user with few unanswered sends.
func (m *mixed) pick() *link {
	for range 4 * contactsEach {
		l := m.crowd.link(m.users[m.random.IntN(len(m.users))])
		if l == nil || l.leaving.Load() {
			continue
		}
		if unanswered, _ := l.user.pending(); unanswered < mostUnanswered {
			return l
		}
	}
	return nil
}

// contact returns a contact of p: one of the users that follow in the list.
func (m *mixed) contact(p *user) *user {
	return m.users[(p.index+1+m.random.IntN(min(contactsEach, len(m.users)-1)))%len(m.users)]
}

// connectOrLeave connects an offline user, or disconnects a user without unanswered sends,
// and waits for the end of it. A user who is still leaving when the day ends would be
// missing in offline, and would not reconnect for its inbox.
func (m *mixed) connectOrLeave() {
	m.going.Lock()
	p := m.users[m.random.IntN(len(m.users))]
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

// offline returns the users without a connection. It is exact while no user connects or
// leaves.
func (m *mixed) offline() []*user {
	var list []*user
	for _, p := range m.users {
		if m.crowd.link(p) == nil {
			list = append(list, p)
		}
	}
	return list
}

// delay delays the acknowledgements of some users.
func (m *mixed) delay(l *link, a lateAck) bool {
	if float64(l.user.index%100) >= 100*lateShare {
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

// stopDelaying sends the delayed acknowledgements, and ends the delay of later ones.
func (m *mixed) stopDelaying() {
	m.mu.Lock()
	m.done = true
	m.mu.Unlock()
	m.acknowledge()
}

// acknowledge sends the delayed acknowledgements. Messages of a link that has ended are
// redelivered on the next one.
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
				a.sender.acknowledge(a.number, l.user)
				l.user.keepCursor([]byte(a.cursor))
			}
		}
		_ = l.flush() // the reader gets the error
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
