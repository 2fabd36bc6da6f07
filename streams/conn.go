package streams

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"roost/schemas"
	"roost/streams/backpressure"
	"roost/streams/bus"
	"roost/streams/channel"
	"roost/streams/directory"
	"roost/streams/group"
	"roost/streams/inbox"
	"roost/streams/jsapi"
	"roost/streams/msgid"
	"roost/streams/presence"
	"roost/streams/publisher"
	"roost/streams/receipts"
	"roost/streams/sendlog"
	"roost/streams/subject"
)

// Options say how to reach NATS. Exactly one of URL and InProcess is set.
type Options struct {
	// URL of a NATS server or cluster, comma-separated.
	URL string
	// InProcess is an embedded server; *server.Server is one.
	InProcess nats.InProcessConnProvider
	// NKeySeedFile authenticates the role; empty for a server without accounts.
	NKeySeedFile string
	// Name shows in the server's connection list. Answers come below
	// _INBOX.<name>, with - for a space, so that one role can be kept from
	// hearing another's. Default "roost".
	Name string
	// CommitTimeout is how long a commit may stay without an answer before its
	// outcome is unknown. Default 5 s.
	CommitTimeout time.Duration
	// SingleProcess says that no other process can reach the server: every connected
	// device is connected here, so live messages need no way through NATS, and events have
	// no other service to hear them.
	SingleProcess bool
	// Singles is how many entries a stream may have to answer one by one; what
	// waits behind them goes as one atomic batch once it is more. Default 16.
	// docs/performance.md has the measured crossovers.
	Singles int
	// AckTimeout is how long a connected device may leave a message
	// unacknowledged before its connection is ended. Default 30 s.
	AckTimeout time.Duration
	// DeviceConsumer is the kind of consumer that a connected device gets. Default
	// inbox.Direct.
	DeviceConsumer inbox.Kind
	// Log gets connection losses and what retries hide. Default slog.Default().
	Log *slog.Logger
	// Now is the clock of message ids, of the cache of users and of leases. Default time.Now.
	Now func() time.Time
}

// Conn is one process's access to the cluster. It keeps several NATS
// connections, so that a read of a long backlog does not stand in the way of a
// commit: an in-process connection is a net.Pipe, and the server answers Direct
// Gets inside the connection's own read loop. All methods may be called
// concurrently. Close it once, after everything that uses it has stopped.
type Conn struct {
	// Static after Dial.
	opts      Options
	log       *slog.Logger
	clock     *msgid.Clock
	control   *nats.Conn // JetStream API, KV, services
	commits   *nats.Conn // publishes to streams
	lives     *nats.Conn // live subjects and events, both ways
	reads     *nats.Conn // Direct Get
	api       *jsapi.Client
	publisher *publisher.Publisher
	room      *semaphore.Weighted // maxReserved, see Reserve
	ctx       context.Context     // ends with Close
	cancel    context.CancelFunc
	losses    losses
	admission *backpressure.Admission

	// Static after Open.
	partitions int
	window     time.Duration // see DuplicateWindow
	directory  *directory.Directory
	presence   *presence.Presence
	bus        bus.Bus
	receipts   *receipts.Receipts
	groups     *group.Groups
	requests   jetstream.KeyValue                 // REQUESTS, see Request
	frontiers  func(partition int) inbox.Frontier // nil outside of single-process mode
	sendLog    sendlog.Log
	channels   *channel.Channels

	mu     sync.Mutex              // guards the rest
	denied context.CancelCauseFunc // see untilDenied; nil while no call waits
	closed bool
}

// Dial connects without looking at the cluster's streams: enough for Plan and
// Apply. [Conn.Open] makes it ready for everything else.
func Dial(opts Options) (*Conn, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.CommitTimeout == 0 {
		opts.CommitTimeout = 5 * time.Second
	}
	if opts.Singles == 0 {
		opts.Singles = publisher.DefaultSingles
	}
	if opts.Name == "" {
		opts.Name = "roost"
	}
	c := &Conn{opts: opts, log: opts.Log, clock: msgid.NewClock(opts.Now),
		room: semaphore.NewWeighted(maxReserved), admission: backpressure.New(opts.Log, presence.LeaseTTL)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for _, one := range []struct {
		to   **nats.Conn
		name string
	}{{&c.control, "control"}, {&c.commits, "commits"}, {&c.lives, "live"}, {&c.reads, "reads"}} {
		nc, err := c.dial(one.name)
		if err != nil {
			c.closeConns()
			return nil, err
		}
		*one.to = nc
	}
	api, err := jsapi.New(c.control, c.reads, c.opts.SingleProcess)
	if err != nil {
		c.closeConns()
		return nil, err
	}
	c.api = api
	c.publisher = publisher.New(c.commits, publisher.Options{Timeout: c.opts.CommitTimeout, Singles: c.opts.Singles, Log: c.log})
	return c, nil
}

// Open reads the cluster's partition count and starts what a gateway or worker
// needs. It fails with [ErrNotInstalled] before the first Apply.
func (c *Conn) Open(ctx context.Context) (err error) {
	ctx, settle := c.untilDenied(ctx)
	defer settle(&err)
	n, err := c.recordedPartitions(ctx)
	if err != nil {
		return err
	}
	c.partitions = n
	inbox, err := c.api.Stream(ctx, subject.InboxStream(0))
	if err != nil {
		return err
	}
	c.window = inbox.Config.Duplicates
	first := sendlog.NewFirst(c.api, c.publisher, c.clock, c.partitions, c.log)
	if err := c.observeNewest(ctx, first); err != nil {
		return err
	}
	c.sendLog = first
	if c.directory, err = directory.Open(ctx, c.api, c.clock, c.opts.Now, c.log); err != nil {
		return err
	}
	c.losses.onReconnect("control", c.directory.ForgetAll)
	c.bus = c.newBus()
	if c.presence, err = presence.Open(ctx, presence.Options{API: c.api, Clock: c.clock, Bus: c.bus,
		Backpressure: c.admission, Log: c.log, Now: c.opts.Now}); err != nil {
		return err
	}
	c.directory.OnChange(c.presence.UserChanged)
	c.losses.onReconnect("control", c.presence.Gap) // after the cache of users is empty
	if c.receipts, err = receipts.Open(ctx, c.api, c.publisher); err != nil {
		return err
	}
	if c.requests, err = openRequests(ctx, c); err != nil {
		return err
	}
	if _, err := c.api.Stream(ctx, subject.ChannelsStream); err != nil { // of a cluster that was installed before there were any
		return fmt.Errorf("failed to open stream %s; `roost streams apply` makes it: %w", subject.ChannelsStream, err)
	}
	if c.opts.SingleProcess && c.partitions == 1 {
		if c.sendLog, err = sendlog.StartAsync(ctx, first); err != nil {
			return err
		}
	}
	c.channels = channel.New(c.api, c.publisher, c.sendLog, c.bus, c.log)
	c.groups, err = group.Open(ctx, c.ctx, group.Options{API: c.api, Clock: c.clock, Users: c.directory,
		Inboxes: c, Events: c.bus, Channels: c.channels})
	return err
}

// observeNewest keeps ids increasing over a restart with a clock set back: the
// newest records of SENT_p outlive everything else of their messages.
func (c *Conn) observeNewest(ctx context.Context, sends *sendlog.First) error {
	for p := range c.partitions {
		rec, ok, err := sends.Newest(ctx, p)
		if err != nil {
			return fmt.Errorf("failed to read the newest record of %s: %w", subject.SentStream(p), err)
		}
		if !ok {
			continue
		}
		// Sends commit concurrently, so a larger id may stand a little before.
		const slack = 1000
		c.clock.Observe(schemas.MessageIDAt(rec.MessageID.Time() + slack))
	}
	return nil
}

// newBus chooses how live messages go.
func (c *Conn) newBus() bus.Bus {
	if c.opts.SingleProcess {
		local := bus.NewLocal(c.partitions)
		c.frontiers = func(partition int) inbox.Frontier { return local.Frontier(partition) }
		c.losses.onReconnect("live", local.Reconnected)
		return local
	}
	live := bus.NewNATS(c.lives, c.partitions, c.log)
	c.losses.onSlowConsumer(live.SlowConsumer)
	c.losses.onReconnect("live", live.Reconnected)
	return live
}

// Bus delivers live messages.
func (c *Conn) Bus() bus.Bus { return c.bus }

// DuplicateWindow is for how long the streams know the ids of stored messages, as it
// was when the Conn was opened.
func (c *Conn) DuplicateWindow() time.Duration { return c.window }

// Clock makes message ids.
func (c *Conn) Clock() *msgid.Clock { return c.clock }

// Directory knows accounts, devices and settings.
func (c *Conn) Directory() *directory.Directory { return c.directory }

// Groups knows groups and their members.
func (c *Conn) Groups() *group.Groups { return c.groups }

// SendLog keeps the records of sends.
func (c *Conn) SendLog() sendlog.Log { return c.sendLog }

// Channels stores the messages of channels.
func (c *Conn) Channels() *channel.Channels { return c.channels }

// Receipts keeps watermarks and read marks.
func (c *Conn) Receipts() *receipts.Receipts { return c.receipts }

// Presence knows sessions and gateways.
func (c *Conn) Presence() *presence.Presence { return c.presence }

// Admission holds senders back while removal is behind.
func (c *Conn) Admission() *backpressure.Admission { return c.admission }

// Partitions is the number of partitions, known after Open.
func (c *Conn) Partitions() int { return c.partitions }

func (c *Conn) partition(u schemas.UserID) int { return subject.Partition(u, c.partitions) }

// Leader is the server that leads a stream now; empty where one server is alone.
func (c *Conn) Leader(ctx context.Context, stream string) (leader string, err error) {
	info, err := c.api.Stream(ctx, stream)
	if err == nil && info.Cluster != nil {
		leader = info.Cluster.Leader
	}
	return leader, err
}

// Ready says why the process cannot commit now, or nil.
func (c *Conn) Ready() error {
	for _, nc := range []*nats.Conn{c.control, c.commits, c.lives, c.reads} {
		if !nc.IsConnected() {
			return fmt.Errorf("not connected to NATS: %s", nc.Status())
		}
	}
	return nil
}

// Failing are the streams that took nothing at the last try.
func (c *Conn) Failing() []publisher.Failure { return c.publisher.Failing() }

// closeTimeout bounds how long Close waits for commits.
const closeTimeout = 10 * time.Second

// Close is Shutdown with a deadline of its own. What was left is logged.
func (c *Conn) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := c.Shutdown(ctx); err != nil {
		c.log.Error("not everything was stored before the end", "error", err)
	}
}

// Shutdown commits the waiting entries, until a commit fails or ctx ends. Then it stops every
// goroutine of the Conn and waits for it. Commits that still have no answer are reported
// with [publisher.ErrClosed]. The error names the entries that were not stored.
func (c *Conn) Shutdown(ctx context.Context) (err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	if c.sendLog != nil {
		c.sendLog.Close(ctx) // it commits once more
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.publisher.Close()
	if c.sendLog != nil {
		if left := c.sendLog.Left(); left > 0 { // its commit was answered at last
			err = fmt.Errorf("the records of %d accepted sends were not stored; the next start writes them from the messages in the inboxes", left)
		}
	}
	c.cancel()
	if c.bus != nil {
		c.bus.Close()
	}
	c.api.Close()
	c.closeConns()
	c.api.Wait() // after the connections are closed
	c.admission.Close()
	return err
}
