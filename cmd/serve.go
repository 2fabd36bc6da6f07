package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/oklog/run"

	"roost/edge"
	"roost/gateway"
	"roost/streams"
	"roost/streams/embedded"
	"roost/streams/inbox"
	"roost/workers"
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
// The parts close from left to right.

type serveFlags struct {
	logFlags
	gatewayFlags
	historyFlags
	deviceFlags
	topologyFlags
	DataDir     string        `help:"Directory for all data." default:"./roost-data" env:"ROOST_DATA_DIR" type:"path"`
	ACME        string        `name:"acme" help:"Host name for which an ACME authority (Let's Encrypt) gives the TLS certificate; port 443 of the host must lead to this server." env:"ROOST_ACME" placeholder:"HOST"`
	MinFreeDisk int64         `help:"MiB of the disk to keep free; with less, sends get unavailable." default:"256" env:"ROOST_MIN_FREE_DISK"`
	StageDir    string        `help:"Directory in memory that stages batches before their commit. If it does not exist, the disk stages them, which is slower." default:"/dev/shm" env:"ROOST_STAGE_DIR"`
	NATSListen  string        `name:"nats-listen" help:"Address for other NATS clients, which may do everything. Without it the server runs in single-process mode." env:"ROOST_NATS_LISTEN" placeholder:"HOST:PORT"`
	NATSSync    time.Duration `name:"nats-sync" help:"0 syncs every message to disk before it is accepted; more risks that much if the machine fails." default:"0s" env:"ROOST_NATS_SYNC"`
}

type Serve struct{ serveFlags }

// stages says whether memory stages batches: whether there is such a directory.
func (f serveFlags) stages() bool {
	info, err := os.Stat(f.StageDir)
	return err == nil && info.IsDir()
}

// singles returns the size below which single publishes are cheaper than a batch, by the
// figures in docs/performance.md.
func (f serveFlags) singles() int {
	if f.stages() {
		return 6
	}
	return 32
}

// Run implements `roost serve`.
func (c Serve) Run(ctx context.Context, p Process) (err error) {
	if err := errors.Join(c.gatewayFlags.validate(), c.deviceFlags.validate(), c.validateACME()); err != nil {
		return cannotStart(err)
	}
	log := newLog(c.logFlags, p.Stderr)
	files := raiseFileLimit(log)
	defer runtime.KeepAlive(setCollector())
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
	conn, err := openStreams(ctx, streams.Options{InProcess: server, AckTimeout: c.AckTimeout, Singles: c.singles(),
		SingleProcess: c.NATSListen == "", DeviceConsumer: inbox.Kind(c.DeviceConsumer), Log: log}, topology)
	if err != nil {
		return cannotStart(err)
	}
	end.push("the connections to NATS", conn.Shutdown)
	if c.stages() {
		if err := server.StageIn(c.StageDir); err != nil {
			log.Warn("batches are staged in the data directory, which is slower", "error", err)
		}
	}
	store, closeStore, err := openHistory(ctx, c.Mongo, filepath.Join(dir.path, "history.db"), log)
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
	end.add(&group, "the wait for a signal", untilSignal(ctx, log))
	log.Info("roost serves", "url", urlOf(listener, secure), "data", dir.path, "history", historyName(c.Mongo), "version", p.version())
	return finished(end.wait(group.Run))
}

// validateACME returns an error if --acme cannot be used.
func (f serveFlags) validateACME() error {
	switch {
	case f.ACME == "":
		return nil
	case f.TLSCert != "":
		return errors.New("--acme and --tls-cert: use only one of them")
	case strings.ContainsAny(f.ACME, ":/*") || !strings.Contains(f.ACME, "."):
		return errors.New("--acme: takes one host name, as chat.example.com")
	}
	return nil
}
