package cmd

import (
	"context"
	"errors"

	"github.com/oklog/run"

	"roost/edge"
	"roost/streams"
	"roost/workers"
)

type Worker struct {
	logFlags
	natsFlags
	historyFlags
	deviceFlags
	HTTP string `name:"http" help:"Address for metrics and health; empty for none." env:"ROOST_WORKER_HTTP" placeholder:"HOST:PORT"`
}

// Run implements `roost worker`.
func (c Worker) Run(ctx context.Context, p Process) (err error) {
	if err := c.validate(); err != nil {
		return cannotStart(err)
	}
	if c.Mongo == "" {
		return cannotStart(errors.New("a worker needs --mongo; SQLite history belongs to `roost serve` alone"))
	}
	log := newLog(c.logFlags, p.Stderr)
	files := raiseFileLimit(log)
	end := newShutdown(log, exitWithin)
	defer end.finish(&err)
	conn, err := openStreams(ctx, streams.Options{URL: c.NATS, NKeySeedFile: c.NKey, Name: "roost worker", Log: log}, streams.Topology{})
	if err != nil {
		return cannotStart(err)
	}
	end.push("the connections to NATS", conn.Shutdown)
	store, closeStore, err := openHistory(ctx, c.Mongo, "", log)
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
	end.add(&group, "the wait for a signal", untilSignal(ctx, log))
	log.Info("roost worker works", "nats", maskedList(c.NATS), "history", historyName(c.Mongo), "version", p.version())
	return finished(end.wait(group.Run))
}
