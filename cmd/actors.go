package cmd

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/oklog/run"

	"roost/edge"
	"roost/gateway"
	"roost/workers"
)

// shutdownTimeout bounds the drain. The workers need some time after it; both together
// stay below exitWithin.
const shutdownTimeout = 10 * time.Second

// addGateway adds the gateway and the HTTP server in front of it. The interrupt closes the
// listener first, then drains the connections.
func addGateway(group *run.Group, end *shutdown, g *gateway.Server, front *edge.Server) {
	end.addParts(group, "the gateway", func() error {
		if err := g.Start(context.Background()); err != nil {
			return err
		}
		return front.Serve(g.Handler())
	}, func() {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		front.CloseListener()
		g.Drain(ctx)
		front.Shutdown(ctx)
	})
}

// workerConnections bounds the connections to a worker's metrics and health.
const workerConnections = 128

func addHTTP(group *run.Group, end *shutdown, front *edge.Server, h http.Handler) {
	end.addParts(group, "the HTTP server", func() error { return front.Serve(h) }, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		front.Shutdown(ctx)
	})
}

func addWorkers(group *run.Group, end *shutdown, o workers.Options) {
	end.add(group, "the workers", func(ctx context.Context) error { return workers.Run(ctx, o) })
}

// errStopped is the outcome of the actor that a signal ends: no error of the process.
var errStopped = errors.New("stopped")

// untilSignal returns the actor that ends with the context of the process.
func untilSignal(process context.Context, log *slog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-process.Done():
			log.Info("roost stops")
			return errStopped
		case <-ctx.Done():
			return nil
		}
	}
}

func finished(err error) error {
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}
