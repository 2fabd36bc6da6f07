package bus

import (
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
)

// Dispatcher hands the messages of its subscriptions to one handler, on one goroutine, in
// the order of arrival. A subscription costs no goroutine of its own.
type Dispatcher struct {
	nc      *nats.Conn
	handle  func(*nats.Msg)
	queue   chan *nats.Msg // written by NATS, read by run, never closed; if it is full, NATS drops a message and reports a slow consumer
	stop    chan struct{}  // closed by Close
	stopped chan struct{}  // closed by run
	once    sync.Once
}

// NewDispatcher starts a dispatcher with a queue of size messages.
func NewDispatcher(nc *nats.Conn, size int, handle func(*nats.Msg)) *Dispatcher {
	d := &Dispatcher{nc: nc, handle: handle,
		queue: make(chan *nats.Msg, size), stop: make(chan struct{}), stopped: make(chan struct{})}
	go d.run()
	return d
}

// Subscribe adds a subscription. The caller ends it.
func (d *Dispatcher) Subscribe(subject string) (*nats.Subscription, error) {
	sub, err := d.nc.ChanSubscribe(subject, d.queue)
	if err != nil {
		return nil, fmt.Errorf("failed to subscribe to %s: %w", subject, err)
	}
	return sub, nil
}

// QueueSubscribe is Subscribe as a member of a queue group.
func (d *Dispatcher) QueueSubscribe(subject, group string) (*nats.Subscription, error) {
	sub, err := d.nc.ChanQueueSubscribe(subject, group, d.queue)
	if err != nil {
		return nil, fmt.Errorf("failed to subscribe to %s: %w", subject, err)
	}
	return sub, nil
}

// Close stops the dispatcher and waits for the call of the handler in progress. It may be
// called again.
func (d *Dispatcher) Close() {
	d.once.Do(func() { close(d.stop) })
	<-d.stopped
}

func (d *Dispatcher) run() {
	defer close(d.stopped)
	for {
		select {
		case m := <-d.queue:
			d.handle(m)
		case <-d.stop:
			return
		}
	}
}

func unsubscribe(sub *nats.Subscription) {
	_ = sub.Unsubscribe() // fails only if the connection is closed
}
