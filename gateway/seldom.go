package gateway

import (
	"sync"
	"time"
)

// seldom lets one log line pass a second. Its zero value is ready.
type seldom struct {
	mu   sync.Mutex // guards the rest
	last time.Time
	left int // calls since the last line
}

// do calls log with the number of calls that logged nothing since the last line, unless that
// was less than a second ago.
func (l *seldom) do(log func(left int)) {
	l.mu.Lock()
	now := time.Now()
	if !l.last.IsZero() && now.Sub(l.last) < time.Second {
		l.left++
		l.mu.Unlock()
		return
	}
	left := l.left
	l.last, l.left = now, 0
	l.mu.Unlock()
	log(left)
}
