package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/gateway/api"
	"roost/gateway/auth"
	"roost/gateway/origin"
	"roost/gateway/pages"
	"roost/gateway/presence"
	"roost/gateway/wakeups"
	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/inbox"
	"roost/streams/msgid"
	leases "roost/streams/presence"
)

// Options of a Server. Fields without a default are required.
type Options struct {
	// Streams is the cluster; the caller closes it after the Server.
	Streams *streams.Conn
	// Auth verifies tokens.
	Auth auth.Authenticator
	// Accounts are the built-in ones; nil with an external issuer. A user of an external issuer
	// exists after the first request or hello.
	Accounts api.Accounts
	// Name of this gateway in the cluster. Default: a new one.
	Name string
	// MaxDevices a user. Default 3.
	MaxDevices int
	// MaxGroupMembers a group. Default schemas.DefaultGroupMembers.
	MaxGroupMembers int
	// GroupPushLimit is how many members a group has at most to be sent a copy each; with
	// more it is a channel. Times MaxDevices, it is at most streams.MaxCopies. Default
	// schemas.DefaultPushLimit.
	GroupPushLimit int
	// Events puts every message into MESSAGES, for other services. Default false: only messages
	// that history keeps.
	Events bool
	// AllowedOrigins are the origins of web pages that may use the server, over HTTP and
	// WebSocket, besides the pages of its own origin. Default none; "*" opens the server
	// to every web page that has a token.
	AllowedOrigins origin.Allowed
	// TrustedProxies are the networks of proxies whose X-Forwarded-For, -Host and -Proto,
	// or Forwarded, say who the client is. Default none: these headers are ignored.
	TrustedProxies origin.Proxies
	// Limits on what one user or address may do.
	Limits Limits
	// Heartbeat is how often a client shall send a frame. A connection that is silent for three
	// of them is closed. Default 30 s.
	Heartbeat time.Duration
	// HelloTimeout is within what time a client has to send hello. Default 10 s.
	HelloTimeout time.Duration
	// PresenceGrace is how long a user counts as online after the connection of their last
	// device ended. Default 10 s.
	PresenceGrace time.Duration
	// PresenceRecheck is within what time a change of presence shows if its event was lost.
	// Default 60 s.
	PresenceRecheck time.Duration
	// ReadDelay is within what time a message_read is durable, so that a burst costs one write.
	// Default 1 s.
	ReadDelay time.Duration
	// ChannelSlack is how much later than its id says a message of a channel may be stored and
	// still be found by its time. Default one minute.
	ChannelSlack time.Duration
	// FullInboxIdle is for how long a device whose inbox is full must not have been used so
	// that the next message for it removes it, at least two days. Default 0: it stays, and
	// such messages are refused.
	FullInboxIdle time.Duration
	// ReserveNames is how long the name of a deleted built-in account stays reserved, so
	// that no other user continues its chats. Default 0: it is free once everything is deleted.
	ReserveNames time.Duration
	// Refuse says why no send is accepted now, nil that all is well: a disk that
	// is nearly full. It is asked for every send. Default: never.
	Refuse func() error
	// Registry gets the metrics, and GET /metrics shows it. Default: a new one.
	Registry *prometheus.Registry
	// Log gets internal errors, which clients do not see. Default slog.Default().
	Log *slog.Logger
}

// Server is one gateway. Its Handler may be served once Start has returned.
type Server struct {
	// Static after Start.
	opts         Options
	log          *slog.Logger
	streams      *streams.Conn
	directory    *directory.Directory
	consumers    *inbox.Consumers
	signer       *msgid.Signer
	accepted     *acceptedSends
	conns        *registry
	metrics      *metrics
	origins      *origin.Policy
	gate         *auth.Gate
	receipts     *receiptDedup
	reads        *reads
	retries      *retryQueue
	refusals     *refusals
	presence     *presence.Watcher
	wakeups      *wakeups.Notifier
	stopErasures func() // ends the answers to workers that erase accounts
	pages        *pages.Cache
	devices      *api.Devices
	answers      *api.Answers
	since        time.Time       // when it requested its lease first
	ctx          context.Context // ends when Drain has closed the connections
	cancel       context.CancelFunc
	wg           sync.WaitGroup // sweeper, noteActivity, connections
	endRest      context.CancelFunc
	rest         sync.WaitGroup // lease keeper, writer of reads, retries, presence, wake-ups: they outlive connections

}

// New returns a Server, which Start starts.
func New(opts Options) *Server {
	if opts.Name == "" {
		opts.Name = "gw-" + opts.Streams.Clock().NextULID()
	}
	if opts.MaxDevices == 0 {
		opts.MaxDevices = 3
	}
	if opts.MaxGroupMembers == 0 {
		opts.MaxGroupMembers = schemas.DefaultGroupMembers
	}
	if opts.GroupPushLimit == 0 {
		opts.GroupPushLimit = schemas.DefaultPushLimit
	}
	if opts.Heartbeat == 0 {
		opts.Heartbeat = 30 * time.Second
	}
	if opts.HelloTimeout == 0 {
		opts.HelloTimeout = 10 * time.Second
	}
	if opts.PresenceGrace == 0 {
		opts.PresenceGrace = presence.DefaultGrace
	}
	if opts.PresenceRecheck == 0 {
		opts.PresenceRecheck = presence.DefaultRecheck
	}
	if opts.ReadDelay == 0 {
		opts.ReadDelay = readsEvery
	}
	if opts.ChannelSlack == 0 {
		opts.ChannelSlack = pages.DefaultSlack
	}
	if opts.Refuse == nil {
		opts.Refuse = func() error { return nil }
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Registry == nil {
		opts.Registry = prometheus.NewRegistry()
	}
	return &Server{
		opts: opts, log: opts.Log, streams: opts.Streams, directory: opts.Streams.Directory(),
		receipts: newReceiptDedup(), accepted: newAcceptedSends(),
		retries: &retryQueue{log: opts.Log}, refusals: newRefusals(opts.Log, opts.Streams.Leader),
		conns: newRegistry(opts.Limits),
	}
}

// Start takes the gateway's lease and starts the goroutines of the gateway.
func (s *Server) Start(ctx context.Context) error {
	consumers, err := s.streams.StartConsumers(ctx)
	if err != nil {
		return fmt.Errorf("failed to start the gateway: %w", err)
	}
	s.consumers = consumers
	if s.signer, err = s.streams.Signer(ctx); err != nil {
		return fmt.Errorf("failed to start the gateway: %w", err)
	}
	s.metrics = newMetrics(s.opts.Registry, s, s.consumers, s.streams.Admission())
	s.origins = origin.NewPolicy(s.opts.AllowedOrigins, s.opts.TrustedProxies, s.metrics.originsRefused, s.log)
	s.opts.Registry.MustRegister(newStreamStates(s.streams.StreamStates, s.log))
	s.gate = auth.NewGate(s.opts.Auth, s.directory, auth.NewRefusals(s.log, s.metrics.tokensRefused))
	s.reads = newReads(&s.opts, s.metrics.readsWritten)
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.since = time.Now()
	lease := schemas.GatewayLease{Gateway: s.opts.Name, StartedAt: schemas.TimestampOf(s.since)}
	ctx, s.endRest = context.WithCancel(context.WithoutCancel(ctx))
	s.rest.Go(func() {
		s.streams.Presence().KeepLease(ctx, lease, func(err error) {
			s.log.Warn("the gateway cannot renew its lease; its users will look offline", "error", err)
		}, func() {
			s.log.Warn("NATS lost the session records; the gateway ends all connections, so that clients reconnect")
			ctx, cancel := context.WithTimeout(s.ctx, leases.LeaseEvery)
			defer cancel()
			s.sendAway(ctx, s.conns.all(), "the server lost the session records")
		})
	})
	s.wg.Go(s.sweep)
	s.wg.Go(s.noteActivity)
	s.directory.OnDevices(s.closeRevoked)
	s.rest.Go(func() { s.reads.run(ctx) })
	s.rest.Go(func() { s.retries.run(ctx) })
	s.rest.Go(func() { s.refusals.run(ctx) })
	s.presence = presence.Start(presence.Options{Streams: s.streams, Grace: s.opts.PresenceGrace, Recheck: s.opts.PresenceRecheck,
		Watched: s.metrics.watched, Log: s.log})
	s.rest.Go(func() { s.presence.Run(ctx) })
	if s.wakeups, err = wakeups.Start(wakeups.Options{Streams: s.streams, Connected: s.conns.devices,
		PushLimit: s.opts.GroupPushLimit, Sent: s.metrics.wakeUps, Log: s.log}); err != nil {
		return fmt.Errorf("failed to start the gateway: %w", err)
	}
	s.rest.Go(func() { s.wakeups.Run(ctx) })
	s.pages = pages.New(s.ctx, pages.Options{Streams: s.streams, News: s.wakeups, PushLimit: s.opts.GroupPushLimit,
		Slack: s.opts.ChannelSlack, Served: s.metrics.channelPages})
	s.answers = api.NewAnswers(s.log, s.metrics.errors, s.metrics.abandoned)
	s.devices = api.NewDevices(s.streams, s.gate, s.opts.MaxDevices, s.retries.add, s.log)
	if s.stopErasures, err = s.streams.ServeErasures(); err != nil {
		return fmt.Errorf("failed to start the gateway: %w", err)
	}
	return nil
}

// Handler serves all of docs/protocol.md.
func (s *Server) Handler() http.Handler {
	return api.Handler(api.Options{
		Streams: s.streams, Gate: s.gate, Origins: s.origins, Answers: s.answers, Devices: s.devices, Pages: s.pages,
		Accounts: s.opts.Accounts, Socket: s.serveWS, Gateway: s,
		MaxGroupMembers: s.opts.MaxGroupMembers, LoginsPerSecond: s.opts.Limits.LoginsPerSecond, ReserveNames: s.opts.ReserveNames,
		ChannelPages: s.metrics.channelPages, Metrics: s.opts.Registry, Log: s.log,
	})
}

var _ api.Gateway = (*Server)(nil)

// FlushReads implements [api.Gateway].
func (s *Server) FlushReads(ctx context.Context, u schemas.UserID) error {
	return s.reads.flush(ctx, u)
}

// Pulled implements [api.Gateway].
func (s *Server) Pulled(u schemas.UserID, channel schemas.GroupID) { s.wakeups.Pulled(u, channel) }

// Missing implements [api.Gateway].
func (s *Server) Missing() map[string]string {
	missing := make(map[string]string)
	if time.Since(s.since) >= leases.LeaseTTL && !s.streams.Presence().Alive(s.opts.Name) {
		missing["lease"] = "NATS does not take this gateway's lease, so nobody can connect. " +
			"If `roost streams plan` with the admin role says that streams are missing, run `roost streams apply`."
	}
	if err := s.opts.Refuse(); err != nil {
		missing["disk"] = err.Error()
	}
	if s.conns.drains() {
		missing["gateway"] = "draining"
	}
	return missing
}
