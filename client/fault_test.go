package client_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roost/client"
	"roost/client/clienttest"
	"roost/schemas"
)

var seed = flag.Uint64("seed", 0, "of TestRandomFaults; 0 takes a new one")

// TestRandomFaults breaks connections at random and restarts clients. Each device shows each
// message once and the messages of each sender in order. At the end all inboxes are empty.
func TestRandomFaults(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed %d", *seed)
	chance := rand.New(rand.NewPCG(*seed, 1))
	srv := clienttest.New()
	defer srv.Close()
	var calm atomic.Bool
	srv.Fault = func(p clienttest.Point) bool {
		odds := 20
		if p == clienttest.BeforeIncoming {
			odds = 200 // the server calls it for each message of a backlog
		}
		return !calm.Load() && chance.IntN(odds) == 0
	}

	const each = 60
	users := map[schemas.UserID]schemas.UserID{"alice": "bob", "bob": "alice"}
	var devices []*app
	for me, other := range users {
		for n := range 2 {
			token := srv.Account(me, "password")
			name := fmt.Sprintf("%s-%d", me, n)
			api := client.API{URL: srv.URL, Token: token}
			device, err := api.RegisterDevice(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			devices = append(devices, &app{t: t, other: other, name: name, restarts: rand.New(rand.NewPCG(*seed, uint64(len(devices)+2))),
				opts: client.Options{URL: srv.URL, Token: token, DeviceID: device.DeviceID, Store: new(client.MemoryStore),
					BackoffMin: time.Millisecond, BackoffMax: 4 * time.Millisecond}})
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for _, d := range devices {
		wg.Go(func() { d.run(ctx, each, 3*each) }) // from the other user's two devices, and from the user's other device
	}
	wg.Wait()
	calm.Store(true)
	for _, d := range devices {
		d.check(each)
		d.drain(ctx)
	}
	if n := srv.Unacknowledged(); n != 0 {
		t.Errorf("the inboxes have %d entries at the end", n)
	}
}

// app is an application on one device.
type app struct {
	t        *testing.T
	other    schemas.UserID
	name     string
	opts     client.Options
	restarts *rand.Rand
	shown    []string          // contents of messages and edits
	last     schemas.MessageID // the last one that it sent, if it knows the id
}

// run sends and receives that many messages, and restarts the client from time to time.
func (p *app) run(ctx context.Context, sends, receives int) {
	next := 0
	for (next < sends || len(p.shown) < receives) && ctx.Err() == nil {
		c, err := client.Connect(ctx, p.opts)
		if err != nil {
			p.t.Errorf("%s: %v", p.name, err)
			return
		}
		var wg sync.WaitGroup
		wg.Go(func() { next = p.send(ctx, c, next, sends) })
		p.receive(ctx, c, receives)
		if len(p.shown) == receives {
			wg.Wait()
		}
		if err := c.Close(); err != nil {
			p.t.Errorf("%s: Close: %v", p.name, err)
		}
		wg.Wait()
	}
	if ctx.Err() != nil {
		p.t.Errorf("%s: sent %d and received %d of %d before the timeout", p.name, next, len(p.shown), receives)
	}
}

// send sends from number next on. It returns the first number without an answer.
func (p *app) send(ctx context.Context, c *client.Client, next, sends int) int {
	for ; next < sends; next++ {
		content := fmt.Sprintf("%s %d", p.name, next)
		var sent schemas.MessageReceived
		var err error
		to := schemas.Participant{User: p.other}
		switch left := c.Restored(); {
		case len(left) > 0 && left[0].Content == content:
			sent, err = c.Resend(ctx, left[0].MessageIDByClient)
		case next%3 == 2 && p.last != "":
			sent, err = c.Edit(ctx, to, p.last, content)
		default:
			sent, err = c.Send(ctx, to, content, nil)
		}
		var unknown *client.UnknownOutcomeError
		switch {
		case errors.As(err, &unknown), errors.Is(err, client.ErrClosed):
			return next
		case err != nil:
			p.t.Errorf("%s: %v", p.name, err)
			return next
		}
		p.last = sent.MessageID
	}
	return next
}

// receive receives messages until it has all, or until a restart. It acknowledges a few at a
// time, in any order.
func (p *app) receive(ctx context.Context, c *client.Client, all int) {
	var held []client.Message
	ack := func() {
		p.restarts.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
		for _, m := range held {
			if err := m.Ack(); err != nil {
				p.t.Errorf("%s: Ack: %v", p.name, err)
			}
		}
		held = nil
	}
	defer func() { ack() }()
	for range 20 + p.restarts.IntN(100) {
		if len(p.shown) == all {
			return
		}
		ev, err := c.Receive(ctx)
		if err != nil {
			p.t.Errorf("%s: Receive: %v", p.name, err)
			return
		}
		if m, ok := messageOf(ev); ok {
			p.shown = append(p.shown, m.Content)
			held = append(held, m)
		}
		if len(held) > p.restarts.IntN(8) {
			ack()
		}
	}
}

func messageOf(ev client.Event) (client.Message, bool) {
	if update, ok := ev.(client.MessageUpdate); ok {
		return update.Message, true
	}
	m, ok := ev.(client.Message)
	return m, ok
}

// drain sends the last acknowledgements again, because a fault may have lost them.
func (p *app) drain(ctx context.Context) {
	c, err := client.Connect(ctx, p.opts)
	if err != nil {
		p.t.Errorf("%s: %v", p.name, err)
		return
	}
	for {
		ev, err := c.Receive(ctx)
		if m, ok := messageOf(ev); ok || err != nil {
			p.t.Errorf("%s: the inbox had %q at the end, %v", p.name, m.Content, err)
			break
		}
		if _, ok := ev.(client.Drained); ok {
			break
		}
	}
	if err := c.Close(); err != nil {
		p.t.Errorf("%s: Close: %v", p.name, err)
	}
}

func (p *app) check(each int) {
	last := make(map[string]int)
	for i, content := range p.shown {
		if slices.Contains(p.shown[:i], content) {
			p.t.Errorf("%s: %q was shown twice", p.name, content)
		}
		var n int
		sender, number, _ := strings.Cut(content, " ")
		if _, err := fmt.Sscan(number, &n); err != nil || n != last[sender] {
			p.t.Errorf("%s: %q came after %d of that sender", p.name, content, last[sender]-1)
		}
		last[sender]++
	}
	if len(last) != 3 {
		p.t.Errorf("%s received from %d devices", p.name, len(last))
	}
	for sender, n := range last {
		if n != each {
			p.t.Errorf("%s received %d of %d messages from %s", p.name, n, each, sender)
		}
	}
}
