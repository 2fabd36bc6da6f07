package streams

import (
	"sync"
)

// gather calls done once, with the first error, after n parts have ended.
type gather struct {
	mu   sync.Mutex
	left int
	err  error
	done func(error)
}

func newGather(n int, done func(error)) *gather { return &gather{left: n, done: done} }

func (g *gather) one(err error) {
	g.mu.Lock()
	g.left--
	if g.err == nil {
		g.err = err
	}
	left, first := g.left, g.err
	g.mu.Unlock()
	if left == 0 {
		g.done(first)
	}
}

// poke fills a channel of one, unless it is full.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
