package inbox

import (
	"context"
	"sync"
)

// state is where a consumer is in its life. It only moves forward, and may skip states.
type state int

const (
	opened  state = iota // Start was not called
	backlog              // the entries that were stored before are delivered
	live                 // Sink.Drained was called: new entries are delivered as they come
	ended                // nothing more is delivered: Sink.End was called, or Close began
	closed               // Close is over: its entries no longer count as unremoved
)

// lifetime is the state of a consumer, and the goroutines that Close waits for.
type lifetime struct {
	wg sync.WaitGroup // goroutines of work

	mu      sync.Mutex         // guards the rest, the rest of the consumer and its source; Sink is called with it held
	state   state              // moves forward by enter alone
	running int                // goroutines of work; an idle consumer has no context
	ctx     context.Context    // of those that run; ends with stop
	cancel  context.CancelFunc // of ctx
}

// enter moves to a later state, or returns false if the consumer has reached that state
// already. mu is held.
func (l *lifetime) enter(to state) bool {
	if l.state >= to {
		return false
	}
	l.state = to
	return true
}

func (l *lifetime) isEnded() bool { return l.state >= ended }

// work runs do in a goroutine that stop ends and waits for. The caller holds mu and has seen
// that the consumer has not ended.
func (l *lifetime) work(do func(context.Context)) {
	ctx := l.beginWork()
	go func() {
		defer l.endWork()
		do(ctx)
	}()
}

func (l *lifetime) beginWork() context.Context {
	l.wg.Add(1)
	if l.running++; l.running == 1 {
		l.ctx, l.cancel = context.WithCancel(context.Background())
	}
	return l.ctx
}

func (l *lifetime) endWork() {
	defer l.wg.Done()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running--; l.running == 0 {
		l.cancel()
		l.ctx, l.cancel = nil, nil
	}
}

// stop ends the goroutines of work, and waits for them.
func (l *lifetime) stop() {
	l.mu.Lock()
	l.enter(ended)
	if l.cancel != nil {
		l.cancel()
	}
	l.mu.Unlock()
	l.wg.Wait()
}
