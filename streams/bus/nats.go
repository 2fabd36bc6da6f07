package bus

import (
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"

	"roost/schemas"
	"roost/streams/jsapi"
	"roost/streams/subject"
)

// DeviceQueue is the size of the queue between NATS and the listeners of all devices. If
// it is full NATS drops a message and reports a slow consumer, which becomes a gap of
// that device: only time is lost.
const DeviceQueue = 64 << 10

// NATS is the Bus of a cluster: one subscription for each local device.
type NATS struct {
	nc         *nats.Conn
	partitions int
	log        *slog.Logger
	devices    *Dispatcher

	mu        sync.RWMutex // guards the rest
	listeners map[*nats.Subscription]Listener
	sessions  *natsSessions // nil without a watch
	channels  *natsChannels // nil without a watch
}

var _ Bus = (*NATS)(nil)

// NewNATS starts a bus on a connection.
func NewNATS(nc *nats.Conn, partitions int, log *slog.Logger) *NATS {
	b := &NATS{nc: nc, partitions: partitions, log: log, listeners: make(map[*nats.Subscription]Listener)}
	b.devices = NewDispatcher(nc, DeviceQueue, b.dispatch)
	return b
}

// Close implements [Bus].
func (b *NATS) Close() { b.devices.Close() }

// SlowConsumer reports a gap to the listener of a subscription that lost messages. It
// returns false if the subscription is not one of the bus.
func (b *NATS) SlowConsumer(sub *nats.Subscription) bool {
	b.mu.RLock()
	device, ok := b.listeners[sub]
	sessions, channels := b.sessions, b.channels
	b.mu.RUnlock()
	switch {
	case ok:
		device.Gap()
	case sessions.has(sub):
		sessions.to.Gap()
	case channels.has(sub):
		channels.to.Gap()
	default:
		return false
	}
	return true
}

// Reconnected reports a gap to all listeners after the connection was away.
func (b *NATS) Reconnected() {
	b.mu.RLock()
	devices := slices.Collect(maps.Values(b.listeners))
	sessions, channels := b.sessions, b.channels
	b.mu.RUnlock()
	for _, to := range devices {
		to.Gap()
	}
	if sessions != nil {
		sessions.to.Gap()
	}
	if channels != nil {
		channels.to.Gap()
	}
}

// publish sends a message. If it is lost, receivers that need it read the streams.
func (b *NATS) publish(to string, body []byte) {
	if err := b.nc.Publish(to, body); err != nil && !jsapi.IsClosed(err) {
		b.log.Debug("a live message was not sent", "subject", to, "error", err)
	}
}

// PublishDelivered implements [Events].
func (b *NATS) PublishDelivered(reader schemas.UserID, frame []byte) {
	b.publish(subject.DeliveredEvent(reader), frame)
}

// PublishRead implements [Events].
func (b *NATS) PublishRead(reader schemas.UserID, frame []byte) {
	b.publish(subject.ReadEvent(reader), frame)
}

// PublishGroupChange implements [Events].
func (b *NATS) PublishGroupChange(g schemas.GroupID, update []byte) {
	b.publish(subject.GroupEvent(g), update)
}
