package inbox

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"roost/streams/bus"
	"roost/streams/jsapi"
)

// pullQueue is the size of the queue between NATS and the dispatcher of pulled entries. If
// it is full NATS drops a message. Then the next message of the consumer shows a gap in the
// numbers, or JetStream redelivers the lost one.
const pullQueue = 64 << 10

// pulls are the pull requests of all local devices: one subscription, one queue and one
// goroutine for all. The last token of a request's reply subject is the name of the
// consumer, and answers find the device by that name. It makes JetStream consumers.
type pulls struct {
	nc     *nats.Conn
	log    *slog.Logger
	prefix string // of reply subjects
	sub    *nats.Subscription
	in     *bus.Dispatcher

	mu      sync.RWMutex // guards devices
	devices map[string]*jetstreamConsumer
}

var _ kind = (*pulls)(nil)

func startPulls(nc *nats.Conn, log *slog.Logger) (*pulls, error) {
	p := &pulls{nc: nc, log: log, prefix: nc.NewInbox() + ".", devices: make(map[string]*jetstreamConsumer)}
	p.in = bus.NewDispatcher(nc, pullQueue, p.dispatch)
	sub, err := p.in.Subscribe(p.prefix + "*")
	if err != nil {
		p.in.Close()
		return nil, err
	}
	p.sub = sub
	return p, nil
}

// newConsumer implements [kind].
func (p *pulls) newConsumer() (implementation, *deviceConsumer) {
	b := &jetstreamConsumer{pulls: p, replies: make(map[uint64]string)}
	return b, &b.deviceConsumer
}

// deletes implements [kind]. A purge counts the pending messages of each consumer of the
// stream again, about 1 µs each. A deletion, 60 µs, asks only those of its subject. The
// consumers of other gateways are unknown here and not counted.
func (p *pulls) deletes(devices int) int {
	const consumersADelete = 64
	return min(RemoveBatch, 1+devices/consumersADelete)
}

// reconnected implements [kind]: pulled messages may be lost for all devices.
func (p *pulls) reconnected() {
	p.mu.RLock()
	all := slices.Collect(maps.Values(p.devices))
	p.mu.RUnlock()
	for _, b := range all {
		b.Lost()
	}
}

// close implements [kind].
func (p *pulls) close() {
	_ = p.sub.Unsubscribe() // fails only if the connection is closed
	p.in.Close()
}

// register sends the answers of a consumer to b; a nil b removes it.
func (p *pulls) register(consumer string, b *jetstreamConsumer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b == nil {
		delete(p.devices, consumer)
		return
	}
	p.devices[consumer] = b
}

func (p *pulls) find(consumer string) *jetstreamConsumer {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.devices[consumer]
}

// pullRequest is the body of $JS.API.CONSUMER.MSG.NEXT.
type pullRequest struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires,omitempty"`
	NoWait  bool          `json:"no_wait,omitempty"` // ends when no stored message is left
}

// pull asks a consumer for messages. A request that was lost has no end in time.
func (p *pulls) pull(stream, consumer string, request pullRequest) {
	body, err := json.Marshal(request)
	if err == nil {
		err = p.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+consumer, p.prefix+consumer, body)
	}
	if err != nil && !jsapi.IsClosed(err) {
		p.log.Debug("a pull request was not sent", "error", err)
	}
}

// ack acknowledges an entry to JetStream. If that is lost JetStream redelivers the entry.
func (p *pulls) ack(reply string) {
	if err := p.nc.Publish(reply, nil); err != nil && !jsapi.IsClosed(err) {
		p.log.Debug("an acknowledgement was not sent", "error", err)
	}
}

func (p *pulls) dispatch(m *nats.Msg) {
	if consumer, ok := strings.CutPrefix(m.Subject, p.prefix); ok { // the end of a request; messages keep their subject
		if b := p.find(consumer); b != nil {
			b.answered(consumer, m.Header.Get("Status"))
		}
		return
	}
	meta, err := m.Metadata()
	if err != nil {
		p.log.Warn("a pulled message has no numbers", "subject", m.Subject, "error", err)
		return
	}
	if b := p.find(meta.Consumer); b != nil {
		b.pulled(meta, m)
	}
}
