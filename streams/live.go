package streams

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// A live payload is one byte of kind and what the kind needs.
const (
	liveEntry    byte = 'm' // 8 bytes of inbox sequence, big-endian, then the entry
	liveFrame    byte = 'f' // a server frame, ready to be written
	liveReplaced byte = 'r' // the session id of the newer connection
	liveRemoved  byte = 'x' // the device is no more
)

// listener is one local device on its live subject. Its methods may be called
// concurrently and must not block.
type listener interface {
	entry(seq uint64, entry []byte)
	frame(frame []byte)
	replaced(by schemas.SessionID)
	removed()
	gap() // messages of the subject were lost
}

// liveQueue is the size of the one queue between NATS and the dispatcher. When
// it is full NATS drops a message and reports a slow consumer, which becomes a
// gap of that device: nothing but time is lost.
const liveQueue = 64 << 10

// live receives the live subjects of all local devices: one subscription each,
// one queue and one goroutine for all. Where the process is alone there are none,
// and who publishes calls the listeners.
type live struct {
	nc      *nats.Conn
	alone   bool // nothing comes by NATS: Options.Alone
	log     *slog.Logger
	queue   chan *nats.Msg // liveQueue; written by NATS, read by run, never closed
	stop    chan struct{}
	stopped chan struct{}

	mu        sync.RWMutex // guards the rest
	listeners map[*nats.Subscription]listener
	local     map[subject.Address][]listener // by device: two while one connection takes over from another
}

func startLive(nc *nats.Conn, alone bool, log *slog.Logger) *live {
	l := &live{nc: nc, alone: alone, log: log,
		queue: make(chan *nats.Msg, liveQueue), stop: make(chan struct{}), stopped: make(chan struct{}),
		listeners: make(map[*nats.Subscription]listener), local: make(map[subject.Address][]listener)}
	go l.run()
	return l
}

func (l *live) close() {
	close(l.stop)
	<-l.stopped
}

// subscribe starts calling to, until leave. A message between the subscription and
// its entry in listeners is lost, as core NATS may lose any: read the stream
// afterwards. A call that is under way may still finish after leave.
func (l *live) subscribe(p int, a subject.Address, to listener) (leave func(), err error) {
	var sub *nats.Subscription
	if !l.alone {
		subject := subject.Live(p, a)
		if sub, err = l.nc.ChanSubscribe(subject, l.queue); err != nil {
			return nil, fmt.Errorf("failed to subscribe to %s: %w", subject, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if sub != nil {
		l.listeners[sub] = to
	}
	l.local[a] = append(l.local[a], to)
	return func() { l.unsubscribe(a, to, sub) }, nil
}

func (l *live) unsubscribe(a subject.Address, to listener, sub *nats.Subscription) {
	l.mu.Lock()
	// Anew: who is calling the listeners of a has the old ones.
	if left := slices.DeleteFunc(slices.Clone(l.local[a]), func(o listener) bool { return o == to }); len(left) > 0 {
		l.local[a] = left
	} else {
		delete(l.local, a)
	}
	delete(l.listeners, sub)
	l.mu.Unlock()
	if sub != nil {
		_ = sub.Unsubscribe() // fails only where the connection is closed
	}
}

// here are the connections of a device in this process.
func (l *live) here(a subject.Address) []listener {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.local[a]
}

func (l *live) run() {
	defer close(l.stopped)
	for {
		select {
		case m := <-l.queue:
			l.dispatch(m)
		case <-l.stop:
			return
		}
	}
}

func (l *live) dispatch(m *nats.Msg) {
	l.mu.RLock()
	to, ok := l.listeners[m.Sub]
	l.mu.RUnlock()
	if !ok || len(m.Data) == 0 {
		return
	}
	switch kind, body := m.Data[0], m.Data[1:]; {
	case kind == liveEntry && len(body) > 8:
		to.entry(binary.BigEndian.Uint64(body), body[8:])
	case kind == liveFrame:
		to.frame(body)
	case kind == liveReplaced:
		to.replaced(schemas.SessionID(body))
	case kind == liveRemoved:
		to.removed()
	default:
		l.log.Warn("a live message of unknown kind", "subject", m.Subject)
	}
}

// gap tells the device of sub that it lost messages.
func (l *live) gap(sub *nats.Subscription) bool {
	l.mu.RLock()
	to, ok := l.listeners[sub]
	l.mu.RUnlock()
	if ok {
		to.gap()
	}
	return ok
}

// gapAll tells all devices: the connection was away.
func (l *live) gapAll() {
	l.mu.RLock()
	all := make([]listener, 0, len(l.local))
	for _, to := range l.local {
		all = append(all, to...)
	}
	l.mu.RUnlock()
	for _, to := range all {
		to.gap()
	}
}

// publishLive sends one payload to a device, wherever it is connected. Nobody
// there is no error, and a loss is made good from the stream.
func (c *Conn) publishLive(a subject.Address, kind byte, body ...[]byte) {
	n := 1
	for _, b := range body {
		n += len(b)
	}
	payload := append(make([]byte, 0, n), kind)
	for _, b := range body {
		payload = append(payload, b...)
	}
	if err := c.lives.Publish(subject.Live(c.partition(a.User), a), payload); err != nil && !jsapi.IsClosed(err) {
		c.log.Debug("a live message was not sent", "error", err)
	}
}

// tellHere calls the device's connections; false where others than this process
// may have some.
func (c *Conn) tellHere(a subject.Address, tell func(listener)) bool {
	if !c.opts.Alone {
		return false
	}
	for _, to := range c.live.here(a) {
		tell(to)
	}
	return true
}

// PublishEntry shows an inbox entry, committed with that sequence, to its device.
// The entry is not changed any more.
func (c *Conn) PublishEntry(a subject.Address, seq uint64, entry []byte) {
	if c.tellHere(a, func(to listener) { to.entry(seq, entry) }) {
		c.shown[c.partition(a.User)].add(seq)
		return
	}
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], seq)
	c.publishLive(a, liveEntry, head[:], entry)
}

// PublishFrame sends a ready frame, which is not changed any more, to a device if
// it is connected.
func (c *Conn) PublishFrame(a subject.Address, frame []byte) {
	if !c.tellHere(a, func(to listener) { to.frame(frame) }) {
		c.publishLive(a, liveFrame, frame)
	}
}

// PublishReplaced tells older connections of a device that session took over.
func (c *Conn) PublishReplaced(a subject.Address, session schemas.SessionID) {
	if !c.tellHere(a, func(to listener) { to.replaced(session) }) {
		c.publishLive(a, liveReplaced, []byte(session))
	}
}

// PublishRemoved tells the connections of a device that it is no more.
func (c *Conn) PublishRemoved(a subject.Address) {
	if !c.tellHere(a, func(to listener) { to.removed() }) {
		c.publishLive(a, liveRemoved)
	}
}

// PublishDelivered tells other services that reader has a message.
func (c *Conn) PublishDelivered(reader schemas.UserID, frame []byte) {
	c.publishEvent(subject.DeliveredEvent(reader), frame)
}

// PublishRead tells other services that reader has read a message.
func (c *Conn) PublishRead(reader schemas.UserID, frame []byte) {
	c.publishEvent(subject.ReadEvent(reader), frame)
}

// PublishSession tells of a connection's begin or end: gateways that watch the
// person, and other services.
func (c *Conn) PublishSession(e schemas.SessionEvent) {
	if c.opts.Alone {
		if w := c.watching.Load(); w != nil {
			w.here(e)
		}
		return
	}
	c.publishEvent(subject.SessionEvent(e.UserID), schemas.Encode(e))
}

func (c *Conn) publishEvent(subject string, body []byte) {
	if c.opts.Alone {
		return
	}
	if err := c.lives.Publish(subject, body); err != nil && !jsapi.IsClosed(err) {
		c.log.Debug("an event was not sent", "error", err)
	}
}
