package inbox

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"roost/schemas"
	"roost/streams/bus"
	"roost/streams/jsapi"
	"roost/streams/publisher"
	"roost/streams/receipts"
	"roost/streams/subject"
)

// Options are the settings of [Consumers] and the parts that they use.
type Options struct {
	// Kind of the consumers. Default Direct.
	Kind Kind
	// Partitions is the number of INBOX streams.
	Partitions int
	// AckTimeout is how long a connected device may leave a message unacknowledged before
	// its connection is ended. Default DefaultAckTimeout.
	AckTimeout time.Duration
	// RemovalWorkers is how many inboxes a remover verifies, and deletes from, at a time if
	// inboxes are overdue, 1 to 64. Default DefaultRemovalWorkers. A deletion at replicas waits
	// for them and uses little of the processor, so there more at a time remove more.
	RemovalWorkers int
	// Now is the clock. Default time.Now.
	Now func() time.Time
	Log *slog.Logger

	API *jsapi.Client
	// Live is the connection that consumers in JetStream pull on.
	Live      *nats.Conn
	Bus       Bus
	Publisher Publisher
	SendLog   SendLog
	Receipts  Receipts
	// Blocks returns a function that says whether reader blocks a sender.
	Blocks func(ctx context.Context, reader schemas.UserID) (func(sender schemas.UserID) bool, error)
	// Unremoved counts the entries that are acknowledged and not removed.
	Unremoved Counter
	// Observe is called with the id of each delivered message, so that ids that this process
	// makes later are larger.
	Observe func(schemas.MessageID)
	// Frontier returns the delivery frontier of a partition. It is nil, or set in
	// single-process mode, where no other process delivers entries.
	Frontier func(partition int) Frontier
}

// DefaultRemovalWorkers is the default of Options.RemovalWorkers.
const DefaultRemovalWorkers = 8

// DefaultAckTimeout is the default of Options.AckTimeout.
const DefaultAckTimeout = 30 * time.Second

// Bus brings live messages to the consumers.
type Bus interface {
	// Subscribe calls a listener with the live messages of a device until leave.
	Subscribe(a subject.Address, to bus.Listener) (leave func(), err error)
	// PublishReplaced tells older connections of a device that session took over.
	PublishReplaced(a subject.Address, session schemas.SessionID)
}

// Publisher commits the records of acknowledgements.
type Publisher interface {
	Store(ctx context.Context, stream string, set []publisher.Entry) ([]publisher.Outcome, error)
}

// SendLog keeps the records of sends.
type SendLog interface {
	// BeforeRemoval waits until the sends of all entries of a stream up to seq are on
	// record. Only then the entries may be removed.
	BeforeRemoval(ctx context.Context, stream string, seq uint64) error
}

// Receipts keeps the watermarks of senders.
type Receipts interface {
	// AdvanceAll moves watermarks up, and returns after all of them are durable.
	AdvanceAll(ctx context.Context, marks receipts.Marks) error
}

// Counter counts entries; n is negative for removed ones.
type Counter interface{ Add(n int64) }

// Frontier is the delivery frontier of one inbox stream.
type Frontier interface {
	// After returns the sequence up to which every entry after pos was delivered to its
	// connected device. ok is false if that is unknown.
	After(pos uint64) (upTo uint64, ok bool)
}

// unknown is the Frontier of a process that shares its NATS with others.
type unknown struct{}

// After implements [Frontier].
func (unknown) After(uint64) (uint64, bool) { return 0, false }
