package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"roost/client"
	"roost/schemas"
)

// TestKill kills the process with SIGKILL while 200 senders send to 20 receivers
// who acknowledge, starts it again, and lets the clients settle what was under
// way. Every accepted message arrives, and nobody is shown one twice.
func TestKill(t *testing.T) {
	const senders, receivers, before, after = 200, 20, 1500, 400
	dir := t.TempDir()
	s := serve(t, dir, "")
	ctx, cancel := context.WithTimeout(context.Background(), 3*timeout)
	defer cancel()

	seen := newLedger()
	var receiving sync.WaitGroup
	var clients []*client.Client
	for i := range receivers {
		c := join(t, s, dir, receiver(i))
		clients = append(clients, c)
		receiving.Go(func() { receive(ctx, c, seen) })
	}
	accepted := newLedger()
	var count atomic.Int64
	enough, reached := make(chan struct{}), sync.Once{}
	resume := make(chan struct{})
	var sending sync.WaitGroup
	for i := range senders {
		c := join(t, s, dir, schemas.UserID(fmt.Sprint("sender-", i)))
		clients = append(clients, c)
		receiving.Go(func() { discard(ctx, c) })
		sending.Go(func() {
			send := func(n int) {
				got, err := c.Send(ctx, schemas.Participant{User: receiver((i + n) % receivers)}, fmt.Sprintf("%d/%d", i, n), nil)
				if err != nil {
					t.Errorf("sender %d: %v", i, err)
					return
				}
				accepted.add(got.MessageID)
				if count.Add(1) == before {
					reached.Do(func() { close(enough) })
				}
			}
			n := 0
			for ; !closed(enough); n++ {
				send(n)
			}
			<-resume
			for range after / senders {
				send(n)
				n++
			}
		})
	}
	<-enough
	s.kill() // with up to 200 sends under way
	<-s.exited
	serve(t, dir, s.address())
	close(resume)
	sending.Wait()

	eventually(t, "every accepted message", func() bool { return seen.has(accepted) })
	if twice := seen.twice(); len(twice) > 0 {
		t.Errorf("%d messages were shown twice, the first is %s", len(twice), twice[0])
	}
	// What was shown and not accepted would be a send that was never settled.
	if extra := accepted.missing(seen); len(extra) > 0 {
		t.Errorf("%d messages arrived whose senders were never answered", len(extra))
	}
	t.Logf("%d messages accepted, %d shown", accepted.len(), seen.len())
	cancel()
	receiving.Wait()
	closeAll(clients)
}

// closeAll closes clients at the same time, while their server lives: each waits
// for its answer.
func closeAll(clients []*client.Client) {
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() { _ = c.Close() })
	}
	wg.Wait()
}

func receiver(i int) schemas.UserID { return schemas.UserID(fmt.Sprint("receiver-", i)) }

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// receive acknowledges every message and enters it in the ledger.
func receive(ctx context.Context, c *client.Client, seen *ledger) {
	for {
		ev, err := c.Receive(ctx)
		if err != nil {
			return
		}
		if m, ok := ev.(client.Message); ok {
			seen.add(m.MessageID)
			_ = m.Ack() // fails only where the client has ended
		}
	}
}

// discard reads what a sender is told.
func discard(ctx context.Context, c *client.Client) {
	for {
		if _, err := c.Receive(ctx); err != nil {
			return
		}
	}
}

// ledger counts message ids.
type ledger struct {
	mu  sync.Mutex
	ids map[schemas.MessageID]int
}

func newLedger() *ledger { return &ledger{ids: make(map[schemas.MessageID]int)} }

func (l *ledger) add(id schemas.MessageID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids[id]++
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ids)
}

func (l *ledger) snapshot() map[schemas.MessageID]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := make(map[schemas.MessageID]int, len(l.ids))
	for id, n := range l.ids {
		ids[id] = n
	}
	return ids
}

// missing are the ids of other that l does not have.
func (l *ledger) missing(other *ledger) []schemas.MessageID {
	have := l.snapshot()
	var missing []schemas.MessageID
	for id := range other.snapshot() {
		if have[id] == 0 {
			missing = append(missing, id)
		}
	}
	return missing
}

func (l *ledger) has(other *ledger) bool { return len(l.missing(other)) == 0 }

func (l *ledger) twice() []schemas.MessageID {
	var ids []schemas.MessageID
	for id, n := range l.snapshot() {
		if n > 1 {
			ids = append(ids, id)
		}
	}
	return ids
}
