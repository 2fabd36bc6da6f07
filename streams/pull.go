package streams

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

// pullQueue is the size of the one queue between NATS and the dispatcher of
// pulled entries. When it is full NATS drops a message: the consumer's numbers
// then show a gap to the next one, or JetStream repeats it after its ack wait.
const pullQueue = 64 << 10

// pulls are the pull requests of all local devices: one subscription, one queue
// and one goroutine for all. The last token of a request's reply subject is the
// name of the consumer, and what answers it finds the device by that name.
type pulls struct {
	nc     *nats.Conn
	log    *slog.Logger
	prefix string // of reply subjects
	sub    *nats.Subscription
	in     *bus.Dispatcher

	mu      sync.RWMutex // guards inboxes
	inboxes map[string]*jetstreamInbox
}

func startPulls(nc *nats.Conn, log *slog.Logger) (*pulls, error) {
	p := &pulls{nc: nc, log: log, prefix: nc.NewInbox() + ".", inboxes: make(map[string]*jetstreamInbox)}
	p.in = bus.NewDispatcher(nc, pullQueue, p.dispatch)
	sub, err := p.in.Subscribe(p.prefix + "*")
	if err != nil {
		p.in.Close()
		return nil, err
	}
	p.sub = sub
	return p, nil
}

func (p *pulls) close() {
	_ = p.sub.Unsubscribe() // fails only if the connection is closed
	p.in.Close()
}

// reconnected tells all inboxes that pulled messages may be lost.
func (p *pulls) reconnected() {
	p.mu.RLock()
	all := slices.Collect(maps.Values(p.inboxes))
	p.mu.RUnlock()
	for _, b := range all {
		b.lost()
	}
}

// register has what a consumer answers go to b; a nil b forgets it.
func (p *pulls) register(consumer string, b *jetstreamInbox) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b == nil {
		delete(p.inboxes, consumer)
		return
	}
	p.inboxes[consumer] = b
}

func (p *pulls) find(consumer string) *jetstreamInbox {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.inboxes[consumer]
}

// pullRequest is the body of $JS.API.CONSUMER.MSG.NEXT.
type pullRequest struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires,omitempty"`
	NoWait  bool          `json:"no_wait,omitempty"` // ends where nothing is left
}

// pull asks a consumer for messages. That nobody heard it shows where no end of it
// has come in time.
func (p *pulls) pull(stream, consumer string, request pullRequest) {
	body, err := json.Marshal(request)
	if err == nil {
		err = p.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+stream+"."+consumer, p.prefix+consumer, body)
	}
	if err != nil && !jsapi.IsClosed(err) {
		p.log.Debug("a pull request was not sent", "error", err)
	}
}

// ack tells JetStream that an entry is done with. A loss has it repeated.
func (p *pulls) ack(reply string) {
	if err := p.nc.Publish(reply, nil); err != nil && !jsapi.IsClosed(err) {
		p.log.Debug("an acknowledgement was not sent", "error", err)
	}
}

func (p *pulls) dispatch(m *nats.Msg) {
	if consumer, ok := strings.CutPrefix(m.Subject, p.prefix); ok { // the request's own end; messages keep their subject
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
