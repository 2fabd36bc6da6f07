// Package embedded runs a nats-server inside the process, for `roost serve` and for the
// tests, which so use the same server as a cluster.
//
// # Goroutines
//
// [Start] starts the server, which has goroutines of its own. [Server.Stop] waits for it. The
// caller closes the clients of the server before Stop.
//
// # Failure
//
// After a failed write, for lack of disk space or of a file descriptor, the server stops the
// stream. [Server.Frozen] reports such a stream, and [Server.Recover] opens the streams
// again.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Options of a Server. The zero value of a field means its default.
type Options struct {
	// StoreDir holds the streams. Required.
	StoreDir string
	// Host and Port are where other NATS clients may connect. Default: nowhere.
	// Whoever can connect can read and write everything.
	Host string
	Port int
	// SyncInterval of the streams. Default 0: every message is on disk before it
	// is acknowledged. Anything else is a choice to lose the last moments when
	// the machine dies.
	SyncInterval time.Duration
	// Cluster makes the server a node of a cluster. Default: it is alone.
	Cluster *Cluster
	// MaxClients bounds the connections that Host and Port take. Default: 65,536.
	MaxClients int
	// MaxStore bounds the streams' bytes on disk. Default: the free space.
	MaxStore int64
	// Log gets the server's notices, warnings and errors. Default: none.
	Log *slog.Logger
}

// Cluster is how a node finds the others. Whoever can reach Host and Port can do
// everything.
type Cluster struct {
	Node   string // name of this node, another one on each
	Host   string // Host and Port are where the other nodes connect to
	Port   int
	Routes []*url.URL // of all nodes: nats://HOST:PORT
}

// Server is a running nats-server with JetStream.
type Server struct {
	*server.Server
	config server.JetStreamConfig // as it was started with; Recover starts it again
	stage  string                 // folder of StageIn, or empty
}

const startTimeout = 60 * time.Second

// maxConsumers is how many consumers a stream takes: with --device-consumer
// jetstream each connected device is one. The server's own default is 1,000.
const maxConsumers = 10_000

// Start runs a server and returns once it answers.
func Start(o Options) (*Server, error) {
	opts := &server.Options{
		ServerName:        "roost",
		JetStream:         true,
		StoreDir:          o.StoreDir,
		SyncAlways:        o.SyncInterval == 0,
		SyncInterval:      o.SyncInterval,
		Host:              o.Host,
		Port:              o.Port,
		DontListen:        o.Port == 0,
		NoSigs:            true, // the process decides when to stop, not the library
		NoLog:             o.Log == nil,
		JetStreamMaxStore: o.MaxStore,
		MaxConn:           o.MaxClients,
		MaxPayload:        1 << 20, // the record of a group, as in nats.conf
		JetStreamLimits:   server.JSLimitOpts{DefaultMaxConsumers: maxConsumers},
	}
	if c := o.Cluster; c != nil {
		opts.ServerName, opts.Routes = c.Node, c.Routes
		opts.Cluster = server.ClusterOpts{Name: "roost", Host: c.Host, Port: c.Port}
	}
	left := staged(o.StoreDir)
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("failed to set up the embedded NATS server: %w", err)
	}
	if o.Log != nil {
		srv.SetLoggerV2(logger{o.Log}, false, false, false)
	}
	go srv.Start()
	if !srv.ReadyForConnections(startTimeout) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, fmt.Errorf("the embedded NATS server did not start within %v; its log says why", startTimeout)
	}
	if !srv.JetStreamEnabled() {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, fmt.Errorf("the embedded NATS server has no JetStream; check that %s can be written", o.StoreDir)
	}
	if err := removeAll(left); err != nil && o.Log != nil {
		o.Log.Warn("batches that an earlier server staged were not removed", "error", err)
	}
	return &Server{Server: srv, config: *srv.JetStreamConfig()}, nil
}

// Stop ends the server and waits for it. Clients must be closed before.
func (s *Server) Stop() {
	s.Shutdown()
	s.WaitForShutdown()
	if s.stage != "" {
		_ = os.RemoveAll(s.stage) // the next start tries again
	}
}

// Frozen says which stream stopped at a failed write to the disk, or that the server
// closed all of them, or nil.
func (s *Server) Frozen() error {
	if !s.JetStreamEnabled() {
		return errors.New("the NATS server closed its streams, and its log says why")
	}
	health := s.Healthz(&server.HealthzOptions{})
	if strings.Contains(health.Error, "write error") {
		return errors.New(health.Error)
	}
	return nil
}

// logger passes the server's lines on, at levels of this project: what NATS
// calls a notice is detail here.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l logger) Warnf(format string, v ...any)   { l.log.Warn("nats: " + fmt.Sprintf(format, v...)) }
func (l logger) Fatalf(format string, v ...any)  { l.log.Error("nats: " + fmt.Sprintf(format, v...)) }
func (l logger) Errorf(format string, v ...any)  { l.log.Error("nats: " + fmt.Sprintf(format, v...)) }
func (l logger) Debugf(string, ...any)           {}
func (l logger) Tracef(string, ...any)           {}
