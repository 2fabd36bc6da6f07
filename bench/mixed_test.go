package bench

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestLeavingEndsFirst: the day goes on after a user who leaves, or whose connection breaks,
// has no connection any more. Else the user would not reconnect at the end, and the entries
// of its inbox would count as missing.
func TestLeavingEndsFirst(t *testing.T) {
	env := newEnv(t)
	users, err := env.need(within(t), 8)
	if err != nil {
		t.Fatal(err)
	}
	c := newCrowd(within(t), env, newTraffic(env.users))
	m := &mixed{crowd: c, users: users, random: rand.New(rand.NewPCG(1, 2))}
	came, went := 0, 0
	for range 200 {
		before := len(c.all())
		m.connectOrLeave()
		switch after := len(c.all()); {
		case after > before:
			came++
		case after < before:
			went++
		}
		for _, l := range c.all() {
			if l.leaving.Load() {
				t.Fatalf("after %d came and %d went, one is still leaving", came, went)
			}
		}
		if len(m.offline())+len(c.all()) != len(users) {
			t.Fatalf("%d are connected and %d offline, of %d", len(c.all()), len(m.offline()), len(users))
		}
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
	if came == 0 || went == 0 {
		t.Errorf("%d came and %d went", came, went)
	}
}

// TestWaited: a message is late by the time that its receiver was connected.
func TestWaited(t *testing.T) {
	const slack = 5 * time.Second // the test itself takes time
	now := sinceEpoch()
	ago := func(s int) int64 { return now - int64(s)*int64(time.Second) }
	for _, c := range []struct {
		name string
		link *link
		sent int64
		want time.Duration
	}{
		{"while connected", &link{drained: true, since: ago(60)}, ago(7), 7 * time.Second},
		{"while offline", &link{drained: true, since: ago(2)}, ago(30), 2 * time.Second},
		{"backlog, sent while offline", &link{before: period{ago(60), ago(40)}}, ago(30), 0},
		{"backlog, sent before it left", &link{before: period{ago(60), ago(40)}}, ago(46), 6 * time.Second},
		{"backlog, sent before it connected", &link{before: period{ago(60), ago(40)}}, ago(70), 20 * time.Second},
		{"over two connections", &link{before: period{ago(60), ago(40)}, drained: true, since: ago(3)}, ago(46), 9 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.link.waited(c.sent); got < c.want || got > c.want+slack {
				t.Errorf("waited %v, want %v", got, c.want)
			}
		})
	}
}
