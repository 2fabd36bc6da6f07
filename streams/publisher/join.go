package publisher

import (
	"sync"
)

// Join waits for the parts of one commit to several streams.
type Join struct {
	mu   sync.Mutex
	left int
	err  error
	done func(error)
}

// NewJoin calls done once, with the first error, after Done was called n times.
func NewJoin(n int, done func(error)) *Join { return &Join{left: n, done: done} }

// Done ends one part.
func (j *Join) Done(err error) {
	j.mu.Lock()
	j.left--
	if j.err == nil {
		j.err = err
	}
	left, first := j.left, j.err
	j.mu.Unlock()
	if left < 0 {
		panic("publisher: a part of a commit ended twice")
	}
	if left == 0 {
		j.done(first)
	}
}
