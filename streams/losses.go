package streams

import (
	"sync"

	"github.com/nats-io/nats.go"
)

// losses holds the handlers of messages that a connection to NATS may have lost. A part
// of the Conn that can lose messages registers its handler when it starts.
type losses struct {
	mu          sync.Mutex // guards the rest
	slow        []func(*nats.Subscription) bool
	reconnected map[string][]func() // by connection
}

// onSlowConsumer registers handle, which is called with each subscription that lost
// messages because its queue was full. handle returns false if the subscription is not
// its own.
func (l *losses) onSlowConsumer(handle func(*nats.Subscription) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = append(l.slow, handle)
}

// onReconnect registers handle, which is called after a connection was away.
func (l *losses) onReconnect(connection string, handle func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reconnected == nil {
		l.reconnected = make(map[string][]func())
	}
	l.reconnected[connection] = append(l.reconnected[connection], handle)
}

// slowConsumer reports whether a handler knew the subscription.
func (l *losses) slowConsumer(sub *nats.Subscription) bool {
	l.mu.Lock()
	all := l.slow[:len(l.slow):len(l.slow)]
	l.mu.Unlock()
	for _, handle := range all {
		if handle(sub) {
			return true
		}
	}
	return false
}

func (l *losses) reconnect(connection string) {
	l.mu.Lock()
	all := l.reconnected[connection]
	all = all[:len(all):len(all)]
	l.mu.Unlock()
	for _, handle := range all {
		handle()
	}
}
