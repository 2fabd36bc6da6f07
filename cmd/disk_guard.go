package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/streams/embedded"
)

// diskGuard refuses sends while the disk is nearly full. JetStream stops a stream for good at
// its first failed write, so the guard opens the streams again. If that does not help within
// recoverWithin, the guard ends the process.
type diskGuard struct {
	// Static.
	path   string
	least  uint64 // bytes to keep free
	server frozenServer
	log    *slog.Logger
	gauge  prometheus.GaugeFunc

	free atomic.Uint64
	low  atomic.Bool

	// Owned by watch.
	frozenAt time.Time // when the first stream stopped; zero: all streams work
	tried    time.Time // the last try to recover
}

// frozenServer has the methods of an [embedded.Server] that the guard needs.
type frozenServer interface {
	Frozen() error  // names a stream that stopped at a failed write; nil: none did
	Recover() error // opens the streams again
}

const (
	guardEvery = 250 * time.Millisecond
	// recoverEvery is the pause between two tries to open streams again.
	recoverEvery = time.Second
	// recoverWithin bounds the tries. After streams have worked for so long, the next stop
	// begins a new series of tries.
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

// refuse returns the reason to refuse sends, or nil.
func (g *diskGuard) refuse() error {
	if !g.low.Load() {
		return nil
	}
	return fmt.Errorf("the disk has %d MiB free, below the minimum of %d MiB; make space", g.free.Load()>>20, g.least>>20)
}

// watch checks the disk and the streams until ctx ends.
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

// recover opens stopped streams again if there is space.
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
		return fmt.Errorf("a stream keeps stopping after failed writes, for %v; remove the cause and start roost again: %w", recoverWithin, err)
	}
	g.log.Error("a stream stopped after a failed write; opening the streams again", "error", err)
	switch err := g.server.Recover(); {
	case errors.Is(err, embedded.ErrNotYet):
		g.log.Warn("the streams cannot be opened again yet; sends get unavailable until then", "error", err)
	case err != nil:
		return fmt.Errorf("a stream stopped after a failed write and cannot be opened again; start roost again: %w", err)
	default:
		g.log.Info("the streams accept writes again")
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
			g.log.Error("the disk is nearly full; sends get unavailable until there is space", "free_mib", free>>20)
		} else {
			g.log.Info("the disk has space again; sends are accepted", "free_mib", free>>20)
		}
	}
}
