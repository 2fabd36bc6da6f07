package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"roost/edge"
	"roost/gateway"
	"roost/streams"
	"roost/streams/embedded"
	"roost/workers"
	"roost/workers/mongo"
	"roost/workers/sqlite"
)

//	serve:   one process, one data directory
//
//	   clients ──▶ http.Server ──▶ gateway ──┐
//	                                         ├──▶ streams.Conn ──▶ embedded NATS ──▶ <data>/jetstream
//	   signal, disk guard          workers ──┘
//	                                  └─────▶ SQLite <data>/history.db, or MongoDB
//
//	gateway: http.Server, gateway, streams.Conn ──▶ NATS cluster
//	worker:  workers, streams.Conn ──▶ NATS cluster, MongoDB
//
// Each arrow to the right is closed after what stands left of it.

type serveFlags struct {
	logFlags
	gatewayFlags
	historyFlags
	deviceFlags
	topologyFlags
	DataDir     string        `help:"Directory for everything that is kept." default:"./roost-data" env:"ROOST_DATA_DIR" type:"path"`
	ACME        string        `name:"acme" help:"Host name for which an ACME authority (Let's Encrypt) gives the TLS certificate; port 443 of the host has to end here." env:"ROOST_ACME" placeholder:"HOST"`
	MinFreeDisk int64         `help:"MiB that stay free: with less, sends are answered with unavailable." default:"256" env:"ROOST_MIN_FREE_DISK"`
	StageDir    string        `help:"Directory in memory where batches are staged before they are committed, if it exists; else that is on disk, and slower." default:"/dev/shm" env:"ROOST_STAGE_DIR"`
	NATSListen  string        `name:"nats-listen" help:"Address for other NATS clients; who connects there may do everything." env:"ROOST_NATS_LISTEN" placeholder:"HOST:PORT"`
	NATSSync    time.Duration `name:"nats-sync" help:"0 has every message on disk before it is accepted; more loses that much when the machine dies." default:"0s" env:"ROOST_NATS_SYNC"`
}

type serveCommand struct{ serveFlags }

type gatewayCommand struct {
	logFlags
	natsFlags
	gatewayFlags
	AuthSecret string `help:"File with the secret that signs tokens of built-in accounts, the same for all gateways." env:"ROOST_AUTH_SECRET" placeholder:"FILE"`
}

type workerCommand struct {
	logFlags
	natsFlags
	historyFlags
	deviceFlags
	HTTP string `name:"http" help:"Address for metrics and health; empty for none." env:"ROOST_WORKER_HTTP" placeholder:"HOST:PORT"`
}

// stages says whether batches are staged in memory: where there is such a folder.
func (f serveFlags) stages() bool {
	info, err := os.Stat(f.StageDir)
	return err == nil && info.IsDir()
}

// singles is where a batch becomes cheaper than single publishes, by the figures
// in docs/performance.md.
func (f serveFlags) singles() int {
	if f.stages() {
		return 6
	}
	return 32
}

// Run implements `roost serve`.
func (c serveCommand) Run(p process) (err error) {
	if err := errors.Join(c.gatewayFlags.validate(), c.deviceFlags.validate(), c.validateACME()); err != nil {
		return cannotStart(err)
	}
	log := newLog(c.logFlags, p.stderr)
	files := raiseFileLimit(log)
	defer runtime.KeepAlive(heapFloor())
	end := newShutdown(log, exitWithin)
	defer end.finish(&err)
	dir, err := openDataDir(c.DataDir)
	if err != nil {
		return cannotStart(err)
	}
	end.push("the lock of the data directory", always(dir.close))
	listener, err := listen(c.HTTP)
	if err != nil {
		return cannotStart(err)
	}
	defer listener.Close()

	natsOptions := embedded.Options{StoreDir: filepath.Join(dir.path, "jetstream"), SyncInterval: c.NATSSync, MaxClients: natsClients, Log: log}
	if natsOptions.Host, natsOptions.Port, err = splitAddress(c.NATSListen); err != nil {
		return cannotStart(fmt.Errorf("--nats-listen: %w", err))
	}
	server, err := embedded.Start(natsOptions)
	if err != nil {
		return cannotStart(err)
	}
	end.push("the embedded NATS server", always(server.Stop))
	topology := c.topology(1)
	if c.NATSListen == "" {
		topology.DuplicateWindow = streams.SingleProcessWindow
	}
	conn, err := openStreams(p.ctx, streams.Options{InProcess: server, AckTimeout: c.AckTimeout, Singles: c.singles(),
		Alone: c.NATSListen == "", DeviceConsumer: streams.DeviceConsumer(c.DeviceConsumer), Log: log}, topology)
	if err != nil {
		return cannotStart(err)
	}
	end.push("the connections to NATS", conn.Shutdown)
	if c.stages() {
		if err := server.StageIn(c.StageDir); err != nil {
			log.Warn("batches are staged in the data directory, which is slower", "error", err)
		}
	}
	store, closeStore, err := openHistory(p.ctx, c.Mongo, filepath.Join(dir.path, "history.db"), log)
	if err != nil {
		return cannotStart(err)
	}
	end.push("the history store", closeStore)

	registry := newRegistry()
	guard := newDiskGuard(dir.path, c.MinFreeDisk<<20, server, log)
	registry.MustRegister(guard)
	options := gateway.Options{Streams: conn, Registry: registry, Log: log, Refuse: guard.refuse}
	if c.AuthCache == "" {
		c.AuthCache = filepath.Join(dir.path, "auth-keys.json")
	}
	closeAuth, err := c.configure(&options, filepath.Join(dir.path, "token.key"))
	if err != nil {
		return cannotStart(err)
	}
	defer closeAuth()
	reserve := filesOfProcess + filesOfPartition*conn.Partitions()
	if c.NATSListen != "" {
		reserve += natsClients
	}
	secure, err := c.tls(log)
	if c.ACME != "" {
		secure, err = edge.ACME(c.ACME, filepath.Join(dir.path, "acme"), "", nil)
	}
	if err != nil {
		return cannotStart(err)
	}
	front, err := c.front(listener, secure, files, reserve, &options)
	if err != nil {
		return cannotStart(err)
	}
	var group run.Group
	addGateway(&group, end, gateway.New(options), front)
	addWorkers(&group, end, workers.Options{Streams: conn, Store: store, DeviceMaxIdle: c.DeviceMaxIdle, Registry: registry, Log: log})
	end.add(&group, "the disk guard", guard.watch)
	end.add(&group, "the wait for a signal", untilSignal(p.ctx, log))
	log.Info("roost serves", "url", urlOf(listener, secure), "data", dir.path, "history", historyName(c.Mongo), "version", versionText())
	return finished(end.wait(group.Run))
}

// Run implements `roost gateway`.
func (c gatewayCommand) Run(p process) (err error) {
	if err := c.validate(); err != nil {
		return cannotStart(err)
	}
	if c.AuthJWKS == "" && c.AuthSecret == "" {
		return cannotStart(errors.New("a gateway needs --auth-jwks, or --auth-secret with the same file for all gateways"))
	}
	log := newLog(c.logFlags, p.stderr)
	files := raiseFileLimit(log)
	defer runtime.KeepAlive(heapFloor())
	end := newShutdown(log, exitWithin)
	defer end.finish(&err)
	listener, err := listen(c.HTTP)
	if err != nil {
		return cannotStart(err)
	}
	defer listener.Close()
	conn, err := openStreams(p.ctx, streams.Options{URL: c.NATS, NKeySeedFile: c.NKey, Name: "roost gateway", AckTimeout: c.AckTimeout,
		DeviceConsumer: streams.DeviceConsumer(c.DeviceConsumer), Log: log}, streams.Topology{})
	if err != nil {
		return cannotStart(err)
	}
	end.push("the connections to NATS", conn.Shutdown)
	options := gateway.Options{Streams: conn, Registry: newRegistry(), Log: log}
	closeAuth, err := c.configure(&options, c.AuthSecret)
	if err != nil {
		return cannotStart(err)
	}
	defer closeAuth()
	secure, err := c.tls(log)
	if err != nil {
		return cannotStart(err)
	}
	front, err := c.front(listener, secure, files, filesOfProcess, &options)
	if err != nil {
		return cannotStart(err)
	}
	var group run.Group
	addGateway(&group, end, gateway.New(options), front)
	end.add(&group, "the wait for a signal", untilSignal(p.ctx, log))
	log.Info("roost gateway serves", "url", urlOf(listener, secure), "nats", maskedList(c.NATS), "version", versionText())
	return finished(end.wait(group.Run))
}

// Run implements `roost worker`.
func (c workerCommand) Run(p process) (err error) {
	if err := c.validate(); err != nil {
		return cannotStart(err)
	}
	if c.Mongo == "" {
		return cannotStart(errors.New("a worker needs --mongo; SQLite history belongs to `roost serve` alone"))
	}
	log := newLog(c.logFlags, p.stderr)
	files := raiseFileLimit(log)
	end := newShutdown(log, exitWithin)
	defer end.finish(&err)
	conn, err := openStreams(p.ctx, streams.Options{URL: c.NATS, NKeySeedFile: c.NKey, Name: "roost worker", Log: log}, streams.Topology{})
	if err != nil {
		return cannotStart(err)
	}
	end.push("the connections to NATS", conn.Shutdown)
	store, closeStore, err := openHistory(p.ctx, c.Mongo, "", log)
	if err != nil {
		return cannotStart(err)
	}
	end.push("the history store", closeStore)
	registry := newRegistry()
	var group run.Group
	if c.HTTP != "" {
		listener, err := listen(c.HTTP)
		if err != nil {
			return cannotStart(err)
		}
		bound, err := connectionBound(workerConnections, files, filesOfProcess)
		if err != nil {
			return cannotStart(err)
		}
		addHTTP(&group, end, edge.New(listener, edge.Options{MaxConnections: bound, Registry: registry, Log: log}), workers.Handler(registry, conn, store))
	}
	addWorkers(&group, end, workers.Options{Streams: conn, Store: store, DeviceMaxIdle: c.DeviceMaxIdle, Registry: registry, Log: log})
	end.add(&group, "the wait for a signal", untilSignal(p.ctx, log))
	log.Info("roost worker works", "nats", maskedList(c.NATS), "history", historyName(c.Mongo), "version", versionText())
	return finished(end.wait(group.Run))
}

// configure fills in what the flags say of a gateway. What it returns ends what
// checks tokens.
func (f gatewayFlags) configure(o *gateway.Options, secretFile string) (closeAuth func(), err error) {
	o.MaxDevices, o.MaxGroupMembers, o.GroupPushLimit, o.Events = f.MaxDevices, f.MaxGroupMembers, f.GroupPushLimit, f.Events
	o.FullInboxIdle, o.ReserveNames = f.FullInboxIdle, f.ReserveNames
	o.Limits, o.Heartbeat = f.limits(), f.Heartbeat
	if o.TrustedProxies, err = f.trustedProxies(); err != nil {
		return nil, err
	}
	if o.AllowedOrigins, err = f.allowedOrigins(); err != nil {
		return nil, err
	}
	if f.AuthJWKS != "" {
		external, err := gateway.NewExternal(gateway.Issuer{JWKS: f.AuthJWKS, Issuer: f.AuthIssuer, Audience: f.AuthAudience,
			Cache: f.AuthCache, Registry: o.Registry, Log: o.Log})
		if err != nil {
			return nil, err
		}
		o.Auth = external
		return external.Close, nil
	}
	secret, err := gateway.LoadSecret(secretFile)
	if err != nil {
		return nil, err
	}
	tokens, err := gateway.NewTokens(secret)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", secretFile, err)
	}
	o.Auth, o.Accounts = tokens, gateway.NewAccounts(o.Streams.Directory(), tokens)
	return func() {}, nil
}

// openStreams connects, sets the streams up where topology is not empty, and
// opens them.
func openStreams(ctx context.Context, o streams.Options, t streams.Topology) (*streams.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := streams.Dial(o)
	if err != nil {
		return nil, err
	}
	if t != (streams.Topology{}) {
		if _, err := conn.Apply(ctx, t); err != nil {
			conn.Close()
			return nil, err
		}
	}
	if err := conn.Open(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// openHistory opens MongoDB where a URI is given, else SQLite at path.
func openHistory(ctx context.Context, uri, path string, log *slog.Logger) (workers.Store, func(context.Context) error, error) {
	if uri == "" {
		store, err := sqlite.Open(path)
		if err != nil {
			return nil, nil, err
		}
		return store, func(context.Context) error { return store.Close() }, nil
	}
	store, err := mongo.Open(ctx, uri, mongo.Options{Logger: log})
	if err != nil {
		return nil, nil, err
	}
	return store, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return store.Close(ctx)
	}, nil
}

func historyName(uri string) string {
	if uri == "" {
		return "sqlite"
	}
	return masked(uri)
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// validateACME says what is wrong with --acme, or nil.
func (f serveFlags) validateACME() error {
	switch {
	case f.ACME == "":
		return nil
	case f.TLSCert != "":
		return errors.New("--acme and --tls-cert: only one of them says where the certificate comes from")
	case strings.ContainsAny(f.ACME, ":/*") || !strings.Contains(f.ACME, "."):
		return errors.New("--acme: takes one host name, as chat.example.com")
	}
	return nil
}

// tls is the configuration for --tls-cert; nil without it.
func (f gatewayFlags) tls(log *slog.Logger) (*tls.Config, error) {
	if f.TLSCert == "" {
		return nil, nil
	}
	config, err := edge.CertificateFiles(f.TLSCert, f.TLSKey, log)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return config, nil
}

// urlOf is where clients reach a listener.
func urlOf(l net.Listener, secure *tls.Config) string {
	if secure != nil {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// front is the HTTP server of a gateway, on a listener that is open already.
func (f gatewayFlags) front(listener net.Listener, secure *tls.Config, files, reserve int, o *gateway.Options) (*edge.Server, error) {
	bound, err := connectionBound(f.MaxConnections, files, reserve)
	if err != nil {
		return nil, err
	}
	perAddress := min(o.Limits.ConnectionsPerAddress, bound/2) // one address leaves room for others
	return edge.New(listener, edge.Options{MaxConnections: bound, MaxPerAddress: perAddress, TrustedProxies: o.TrustedProxies,
		ProxyProtocol: f.ProxyProtocol, TLS: secure, HSTS: f.HSTS, Registry: o.Registry, Log: o.Log}), nil
}

func envIsSet(names []string) bool {
	for _, name := range names {
		if _, ok := os.LookupEnv(name); ok {
			return true
		}
	}
	return false
}
