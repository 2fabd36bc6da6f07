package workers

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"roost/streams"
)

// Options of Run. Fields without a default are required.
type Options struct {
	// Streams is the cluster; the caller closes it afterwards.
	Streams *streams.Conn
	// Store keeps history; the caller closes it afterwards.
	Store Store
	// DeviceMaxIdle bounds how long a device may stay unused before upkeep removes it,
	// at least two days. Default 0: for ever.
	DeviceMaxIdle time.Duration
	// Registry registers the metrics. Default: a new one.
	Registry prometheus.Registerer
	// Log receives failures. Default slog.Default().
	Log *slog.Logger
}

// stopTimeout bounds how long the mirror works on its batch after the context ended.
const stopTimeout = 8 * time.Second

// Run does the work of a worker until ctx ends, and returns after all its goroutines
// have ended. It returns an error only if it fails to start.
func Run(ctx context.Context, opts Options) error {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Registry == nil {
		opts.Registry = prometheus.NewRegistry()
	}
	m := newMetrics(opts.Registry)
	jobs, err := opts.Streams.MirrorJobs(ctx)
	if err != nil {
		return err
	}
	directory := opts.Streams.Directory()
	stop, err := opts.Streams.ServeHistory(&history{store: opts.Store, directory: directory, groups: opts.Streams.Groups()})
	if err != nil {
		return fmt.Errorf("failed to serve history: %w", err)
	}
	// The context work ends later than ctx: the mirror stores and acknowledges the
	// messages that it fetched.
	work, cancelWork := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelWork()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopTimeout, cancelWork) })()

	mirror := &mirror{source: jobs, store: opts.Store, directory: directory, metrics: m, log: opts.Log}
	retention := newRetention(opts, m)
	erasure := newErasure(opts, m, retention)
	directory.OnDevices(erasure.devicesChanged)
	var wg sync.WaitGroup
	wg.Go(func() { mirror.run(ctx, work) })
	wg.Go(func() { mirror.removeDone(ctx) })
	wg.Go(func() { retention.watchSettings(ctx) })
	wg.Go(func() { retention.watchGroups(ctx) })
	wg.Go(func() { retention.sweep(ctx) })
	wg.Go(func() { erasure.run(ctx) })
	wg.Go(func() { newUpkeep(opts, m, erasure).run(ctx) })
	wg.Wait()
	if err := stop(); err != nil {
		opts.Log.Debug("failed to stop the history service in order", "error", err)
	}
	return nil
}

// metrics of a worker.
type metrics struct {
	stored, unstorable, postponed, deleted, deactivated, erased prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "roost_worker_" + name, Help: help})
		r.MustRegister(c)
		return c
	}
	return &metrics{
		stored:      counter("messages_stored_total", "Messages that the history store accepted, redeliveries included."),
		unstorable:  counter("messages_unstorable_total", "Messages that failed to decode and were terminated."),
		postponed:   counter("messages_postponed_total", "Messages that the history store did not accept and that are retried."),
		deactivated: counter("devices_deactivated_total", "Devices that were removed because they were unused."),
		erased:      counter("accounts_erased_total", "Deleted accounts whose erasure is complete."),
		deleted:     counter("messages_deleted_total", "Messages deleted from history: they expired, or no user keeps them any more."),
	}
}
