package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/lmittmann/tint"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/term"

	"roost/streams/embedded"
)

func newLog(f logFlags, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // an enum of the flags
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w)}))
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// dataDir is the directory of `roost serve`, locked against a second process.
type dataDir struct {
	path string
	lock *flock.Flock
}

func openDataDir(path string) (*dataDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	lock := flock.New(filepath.Join(path, "LOCK"))
	got, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("the data directory %s cannot be locked: %w", path, err)
	}
	if !got {
		return nil, fmt.Errorf("the data directory %s is in use by another process; stop it, or choose another --data-dir", path)
	}
	return &dataDir{path: path, lock: lock}, nil
}

func (d *dataDir) close() { _ = d.lock.Unlock() }

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the address %s is taken by another process; stop it, or choose another --http", address)
	}
	if err != nil {
		return nil, fmt.Errorf("--http: %w", err)
	}
	return l, nil
}

// splitAddress reads HOST:PORT; an empty one is no address.
func splitAddress(address string) (host string, port int, err error) {
	if address == "" {
		return "", 0, nil
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("%q has no port of 1 to 65535", address)
	}
	return host, port, nil
}

// raiseFileLimit lets the process open as many files and sockets as it is allowed to,
// and returns how many that are.
func raiseFileLimit(log *slog.Logger) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		log.Warn("the limit of open files is unknown", "error", err)
		return leastFileLimit
	}
	raised := limit
	raised.Cur = raised.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
		log.Warn("the limit of open files could not be raised", "error", err)
		raised = limit
	}
	return int(min(raised.Cur, math.MaxInt32)) // it may be infinite
}

const (
	// leastFileLimit is what every system allows.
	leastFileLimit = 1024
	// filesOfProcess is what a process may need besides clients: databases, connections
	// to NATS, MongoDB and an issuer, refused connections. It uses some 30 when idle.
	filesOfProcess = 256
	// filesOfPartition is what the streams of one partition may need: each keeps its
	// newest block open, and opens others to read.
	filesOfPartition = 8
	// natsClients bounds the connections that --nats-listen takes.
	natsClients = 256
	// leastConnections is how many clients must be able to connect.
	leastConnections = 64
)

// connectionBound is how many TCP connections may be open: what is asked for, or all
// that the limit of open files leaves beyond the reserve.
func connectionBound(asked, limit, reserve int) (int, error) {
	left := limit - reserve
	if left < max(asked, leastConnections) {
		return 0, fmt.Errorf("the limit of open files is %d and %d are reserved for streams and databases; raise the limit (ulimit -n, LimitNOFILE=) to at least %d",
			limit, reserve, reserve+max(asked, leastConnections))
	}
	if asked > 0 {
		return asked, nil
	}
	return left, nil
}

// heapFloor is memory that nobody touches, and that so takes no room. The collector
// counts it as in use and runs less often while the rest of the heap is small. Keep
// it alive.
func heapFloor() []byte { return make([]byte, 64<<20) }

// diskGuard refuses sends while the disk is nearly full. JetStream stops a stream for
// good at its first failed write: the guard has it opened again. Where that does not
// help within recoverWithin, the process ends, to be started again.
type diskGuard struct {
	// Static.
	path   string
	least  uint64 // bytes that stay free
	server frozenServer
	log    *slog.Logger
	gauge  prometheus.GaugeFunc

	free atomic.Uint64
	low  atomic.Bool

	// Owned by watch.
	frozenAt time.Time // when a stream stopped first; zero: none did lately
	tried    time.Time // the last try to recover
}

// frozenServer is what the guard needs of an [embedded.Server].
type frozenServer interface {
	Frozen() error  // which stream stopped at a failed write, or nil
	Recover() error // opens the streams again
}

const (
	guardEvery = 250 * time.Millisecond
	// recoverEvery is the pause between two tries to open streams again.
	recoverEvery = time.Second
	// recoverWithin is for how long they are tried, and how long streams have to take
	// writes until the next stop is a new one.
	recoverWithin = time.Minute
)

func newDiskGuard(path string, least int64, server frozenServer, log *slog.Logger) *diskGuard {
	g := &diskGuard{path: path, least: uint64(max(least, 0)), server: server, log: log}
	g.gauge = prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "roost_disk_free_bytes",
		Help: "Free space of the data directory's file system."}, func() float64 { return float64(g.free.Load()) })
	g.look()
	return g
}

// Describe and Collect implement [prometheus.Collector].
func (g *diskGuard) Describe(ch chan<- *prometheus.Desc) { g.gauge.Describe(ch) }
func (g *diskGuard) Collect(ch chan<- prometheus.Metric) { g.gauge.Collect(ch) }

// refuse says why nothing is accepted now, or nil.
func (g *diskGuard) refuse() error {
	if !g.low.Load() {
		return nil
	}
	return fmt.Errorf("the disk has %d MiB free, and %d stay free; make space", g.free.Load()>>20, g.least>>20)
}

// watch looks at the disk until ctx ends.
func (g *diskGuard) watch(ctx context.Context) error {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			g.look()
			if err := g.recover(now); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// recover opens streams again that stopped, once there is space.
func (g *diskGuard) recover(now time.Time) error {
	err := g.server.Frozen()
	if err == nil {
		if now.Sub(g.tried) >= recoverWithin {
			g.frozenAt = time.Time{}
		}
		return nil
	}
	if g.low.Load() || now.Sub(g.tried) < recoverEvery {
		return nil
	}
	g.tried = now
	if g.frozenAt.IsZero() {
		g.frozenAt = now
	}
	if now.Sub(g.frozenAt) > recoverWithin {
		return fmt.Errorf("a stream stopped after a failed write, again and again for %v; start roost again when the cause is gone: %w", recoverWithin, err)
	}
	g.log.Error("a stream stopped after a failed write; the streams are opened again", "error", err)
	switch err := g.server.Recover(); {
	case errors.Is(err, embedded.ErrNotYet):
		g.log.Warn("the streams cannot be opened again yet; sends are answered with unavailable meanwhile", "error", err)
	case err != nil:
		return fmt.Errorf("a stream stopped after a failed write and could not be opened again; start roost again: %w", err)
	default:
		g.log.Info("the streams take writes again")
	}
	return nil
}

func (g *diskGuard) look() {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(g.path, &fs); err != nil {
		g.log.Warn("the free space is unknown", "path", g.path, "error", err)
		return
	}
	free := fs.Bavail * uint64(fs.Bsize)
	g.free.Store(free)
	low := free < g.least
	if was := g.low.Swap(low); was != low {
		if low {
			g.log.Error("the disk is nearly full; sends are refused until there is space", "free_mib", free>>20)
		} else {
			g.log.Info("the disk has space again; sends are accepted", "free_mib", free>>20)
		}
	}
}
