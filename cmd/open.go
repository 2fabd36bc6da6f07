package cmd

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"roost/streams"
	"roost/workers"
	"roost/workers/mongo"
	"roost/workers/sqlite"
)

// openStreams connects to NATS, applies the topology unless it is empty, and opens the
// streams.
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

// openHistory opens the MongoDB of uri, or SQLite at path if uri is empty.
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
