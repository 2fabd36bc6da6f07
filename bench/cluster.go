package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Sizes of the cluster that [Launcher.StartCluster] starts.
const (
	clusterNodes    = 3
	clusterGateways = 2
)

// StartCluster runs three NATS nodes with everything replicated on all of them, and
// two gateways. There is no worker, so there is no history.
func (x Launcher) StartCluster(ctx context.Context) (*Launched, error) {
	l, err := x.prepare()
	if err != nil {
		return nil, err
	}
	clients, routes := make([]string, clusterNodes), make([]string, clusterNodes)
	for i := range clusterNodes {
		client, failedClient := freeAddress()
		route, failedRoute := freeAddress()
		if err := errors.Join(failedClient, failedRoute); err != nil {
			l.Stop()
			return nil, err
		}
		clients[i], routes[i] = client, route
	}
	l.plan(clients, routes, x.Args)
	if err := l.start(ctx); err != nil {
		l.Stop()
		return nil, err
	}
	return l, nil
}

// plan adds the processes of a cluster: the nodes, the set-up of the streams, which waits
// until the nodes have found each other, and the gateways.
func (l *Launched) plan(clients, routes, args []string) {
	urls := ""
	for i, client := range clients {
		node := []string{"bench", "nats", "--store-dir", filepath.Join(l.dir, fmt.Sprint("jetstream-", i)), "--listen", client,
			"--sync", "0s", "--node", fmt.Sprint("node-", i), "--cluster-listen", routes[i]}
		for _, route := range routes {
			node = append(node, "--routes", "nats://"+route)
		}
		urls += ",nats://" + client
		l.parts = append(l.parts, func(ctx context.Context) error {
			_, err := l.run(ctx, node, natsLine)
			return err
		})
	}
	urls = urls[1:]
	l.parts = append(l.parts, func(ctx context.Context) error {
		return untilDone(ctx, func(ctx context.Context) error {
			return runOnce(ctx, "streams", "apply", "--nats", urls, "--replicas", fmt.Sprint(clusterNodes))
		})
	})
	gateway := append([]string{"gateway", "--nats", urls, "--auth-secret", l.KeyFile(), "--http", "127.0.0.1:0", "--limits", "off"}, args...)
	for range clusterGateways {
		l.parts = append(l.parts, func(ctx context.Context) error {
			return untilDone(ctx, func(ctx context.Context) error { return l.launch(ctx, gateway) })
		})
	}
}

// clusterPause is between tries while a cluster elects its leaders.
const clusterPause = 500 * time.Millisecond

// untilDone retries do for as long as a process may take to start.
func untilDone(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(clusterPause):
		}
	}
}

// runOnce runs this program with other arguments until it ends.
func runOnce(ctx context.Context, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("failed to find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("roost %s failed: %w: %s", args[0], err, out)
	}
	return nil
}
