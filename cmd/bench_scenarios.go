package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"roost/bench"
	"roost/schemas"
	"roost/streams"
	"roost/streams/embedded"
)

// The commands below `roost bench`: each turns flags into the options of a scenario.

type benchAll struct {
	benchFlags
	Rate    float64       `help:"Sends a second of the open loops." default:"2000"`
	Mixed   float64       `help:"Sends a second of the day in a chat app." default:"1000"`
	Idle    int           `help:"Silent connections to one process, within its limit of open files." default:"19000"`
	Devices int           `help:"Devices of the reconnect storm." default:"10000"`
	Few     int           `help:"Devices of the comparison with many." default:"500"`
	Many    int           `help:"Devices of the comparison with few." default:"50000"`
	Settle  time.Duration `help:"Rest before memory is read." default:"10s"`
	Steady  time.Duration `help:"How long the steady load takes, after a warm-up of a minute." default:"1m"`
}

type benchClosed struct {
	benchFlags
	Pairs  int `help:"Pairs of a sender and a receiver." default:"50"`
	Window int `help:"Unanswered sends of each sender, 1 to 64." default:"16"`
}

type benchOpen struct {
	benchFlags
	Rate  float64 `help:"Sends a second, of all senders together." default:"2000"`
	Pairs int     `help:"Pairs of a sender and a receiver." default:"50"`
}

type benchIdle struct {
	benchFlags
	Devices  int           `help:"Silent connections." default:"19000"`
	Parallel int           `help:"Connects at once." default:"64"`
	Settle   time.Duration `help:"Rest before memory is read." default:"10s"`
}

type benchStorm struct {
	benchFlags
	Devices  int `help:"Devices that reconnect." default:"10000"`
	Parallel int `help:"Connects at once." default:"256"`
}

type benchDrain struct {
	benchFlags
	Backlog     int `help:"Messages for one device." default:"1000"`
	Times       int `help:"Devices with such a backlog, one after the other." default:"10"`
	ManyBacklog int `help:"Messages for each of many devices." default:"20"`
	Devices     int `help:"Number of those devices." default:"500"`
}

type benchScale struct {
	benchFlags
	Few  int     `help:"Connected devices, all of them active." default:"500"`
	Many int     `help:"Connected devices of the second run; the additional ones are silent." default:"50000"`
	Rate float64 `help:"Sends a second." default:"2000"`
}

type benchHistory struct{ benchClosed }

type benchMixed struct {
	benchFlags
	Rate  float64       `help:"Sends a second, of all senders together." default:"1000"`
	Users int           `help:"Users, of whom three in four are connected." default:"1000"`
	Stay  time.Duration `help:"How long a user stays connected or offline, on average." default:"2m"`
}

type benchFanout struct {
	benchFlags
	Groups  int `help:"Groups, with different members." default:"10"`
	Members int `help:"Members of each group, all of them connected; at most 1024." default:"100"`
	Window  int `help:"Unanswered sends in each group, 1 to 64." default:"4"`
}

type benchRaw struct {
	benchFlags
	Clients int  `help:"Connections that publish." default:"8"`
	Batch   int  `help:"Messages of an atomic batch; 0 publishes one by one." default:"0"`
	AsInbox bool `help:"With message ids and bounded subjects, like the inboxes of Roost."`
	Sync    bool `help:"Sync every message to disk before its acknowledgement." default:"true" negatable:""`
}

type benchHold struct {
	URL      string `required:""`
	TokenKey string `required:"" type:"path"`
	Prefix   string `required:""`
	Devices  int    `required:""`
}

type benchNATS struct {
	StoreDir string        `required:"" type:"path"`
	Listen   string        `required:""`
	Sync     time.Duration `required:""`
	Node     string        // with ClusterListen: name of this node, another one on each
	// ClusterListen and Routes make it a node of a cluster.
	ClusterListen string
	Routes        []string
}

// positive returns an error if the value of a flag is not above 0.
func positive(flag string, n float64) error {
	if !(n > 0) {
		return fmt.Errorf("--%s is more than 0", flag)
	}
	return nil
}

func (c benchClosed) options() (bench.ClosedOptions, error) {
	o := bench.ClosedOptions{Pairs: c.Pairs, Window: c.Window, Size: c.Size, Warmup: c.Warmup, Duration: c.Duration}
	if c.Pairs < 1 || c.Window < 1 || c.Window > schemas.MaxOutstanding {
		return o, fmt.Errorf("--pairs is at least 1, --window 1 to %d", schemas.MaxOutstanding)
	}
	return o, nil
}

// Run implements `roost bench closed`.
func (c benchClosed) Run(ctx context.Context, p Process) error {
	o, err := c.options()
	if err != nil {
		return cannotStart(err)
	}
	return c.against(ctx, p, func(ctx context.Context, env *bench.Env) (bench.Result, error) { return bench.Closed(ctx, env, o) })
}

// Run implements `roost bench history`.
func (c benchHistory) Run(ctx context.Context, p Process) error {
	o, err := c.options()
	if err != nil {
		return cannotStart(err)
	}
	return c.against(ctx, p, func(ctx context.Context, env *bench.Env) (bench.Result, error) { return bench.History(ctx, env, o) })
}

// Run implements `roost bench open`.
func (c benchOpen) Run(ctx context.Context, p Process) error {
	if err := errors.Join(positive("pairs", float64(c.Pairs)), positive("rate", c.Rate)); err != nil {
		return cannotStart(err)
	}
	o := bench.OpenOptions{Rate: c.Rate, Pairs: c.Pairs, Size: c.Size, Warmup: c.Warmup, Duration: c.Duration}
	return c.against(ctx, p, func(ctx context.Context, env *bench.Env) (bench.Result, error) { return bench.Open(ctx, env, o) })
}

// Run implements `roost bench idle`.
func (c benchIdle) Run(ctx context.Context, p Process) error {
	if err := errors.Join(positive("devices", float64(c.Devices)), positive("parallel", float64(c.Parallel)), positive("settle", float64(c.Settle))); err != nil {
		return cannotStart(err)
	}
	o := bench.IdleOptions{Devices: c.Devices, Parallel: c.Parallel, Settle: c.Settle}
	return c.against(ctx, p, func(ctx context.Context, env *bench.Env) (bench.Result, error) { return bench.Idle(ctx, env, o) })
}

// Run implements `roost bench storm`.
func (c benchStorm) Run(ctx context.Context, p Process) error {
	if err := errors.Join(positive("devices", float64(c.Devices)), positive("parallel", float64(c.Parallel))); err != nil {
		return cannotStart(err)
	}
	o := bench.StormOptions{Devices: c.Devices, Parallel: c.Parallel}
	return c.against(ctx, p, func(ctx context.Context, env *bench.Env) (bench.Result, error) { return bench.Storm(ctx, env, o) })
}

// Run implements `roost bench drain`.
func (c benchDrain) Run(ctx context.Context, p Process) error {
	for flag, n := range map[string]int{"backlog": c.Backlog, "times": c.Times, "many-backlog": c.ManyBacklog, "devices": c.Devices} {
		if err := positive(flag, float64(n)); err != nil {
			return cannotStart(err)
		}
	}
	return c.against(ctx, p, func(ctx context.Context, env *bench.Env) (bench.Result, error) {
		return bench.Drain(ctx, env, bench.DrainOptions{Devices: c.Times, Backlog: c.Backlog, Size: c.Size})
	}, func(ctx context.Context, env *bench.Env) (bench.Result, error) {
		return bench.DrainMany(ctx, env, bench.DrainOptions{Devices: c.Devices, Backlog: c.ManyBacklog, Size: c.Size})
	})
}

// Run implements `roost bench scale`.
func (c benchScale) Run(ctx context.Context, p Process) error {
	if c.Few < 2 || c.Many <= c.Few || !(c.Rate > 0) {
		return cannotStart(errors.New("--few is at least 2, --many more than that, --rate more than 0"))
	}
	o := bench.ScaleOptions{Few: c.Few, Many: c.Many,
		Load: bench.OpenOptions{Rate: c.Rate, Size: c.Size, Warmup: c.Warmup, Duration: c.Duration}}
	return c.starting(ctx, p, func(progress bench.Progress) (bench.Result, error) { return c.launcher().Scale(ctx, o, progress) })
}

// Run implements `roost bench mixed`.
func (c benchMixed) Run(ctx context.Context, p Process) error {
	if c.Users < 2 || !(c.Rate > 0) {
		return cannotStart(errors.New("--users is at least 2, --rate more than 0"))
	}
	if err := positive("stay", float64(c.Stay)); err != nil {
		return cannotStart(err)
	}
	o := bench.MixedOptions{Rate: c.Rate, Users: c.Users, Stay: c.Stay, Size: c.Size, Warmup: c.Warmup, Duration: c.Duration}
	return c.against(ctx, p, func(ctx context.Context, env *bench.Env) (bench.Result, error) { return bench.Mixed(ctx, env, o) })
}

// Run implements `roost bench fanout`.
func (c benchFanout) Run(ctx context.Context, p Process) error {
	if c.Groups < 1 || c.Members < 2 || c.Members > schemas.DefaultGroupMembers || c.Window < 1 || c.Window > schemas.MaxOutstanding {
		return cannotStart(fmt.Errorf("--groups is at least 1, --members 2 to %d, --window 1 to %d", schemas.DefaultGroupMembers, schemas.MaxOutstanding))
	}
	o := bench.FanoutOptions{Groups: c.Groups, Members: c.Members, Window: c.Window, Size: c.Size, Warmup: c.Warmup, Duration: c.Duration}
	return c.against(ctx, p, func(ctx context.Context, env *bench.Env) (bench.Result, error) { return bench.Fanout(ctx, env, o) })
}

// Run implements `roost bench raw`.
func (c benchRaw) Run(ctx context.Context, p Process) error {
	if c.Clients < 1 || c.Batch < 0 || c.Batch == 1 || c.Batch > 1000 {
		return cannotStart(errors.New("--clients is at least 1, --batch 0 or 2 to 1000"))
	}
	if c.AsInbox && c.Batch > 0 {
		return cannotStart(errors.New("--as-inbox is for publishes one by one, without --batch"))
	}
	o := bench.RawOptions{Clients: c.Clients, Batch: c.Batch, AsInbox: c.AsInbox, Sync: c.Sync, Size: 2 * c.Size, Warmup: c.Warmup, Duration: c.Duration}
	return c.starting(ctx, p, func(progress bench.Progress) (bench.Result, error) { return c.launcher().Raw(ctx, o, progress) })
}

// Run implements `roost bench all`.
func (c benchAll) Run(ctx context.Context, p Process) error {
	if err := errors.Join(c.validate(), c.own(), positive("settle", float64(c.Settle)), positive("steady", float64(c.Steady)), positive("mixed", c.Mixed), positive("idle", float64(c.Idle))); err != nil {
		return cannotStart(err)
	}
	if c.Few < 2 || c.Many <= c.Few || c.Devices < 1 || !(c.Rate > 0) {
		return cannotStart(errors.New("--few is at least 2, --many more than that, --devices and --rate more than 0"))
	}
	o := bench.AllOptions{Size: c.Size, Warmup: c.Warmup, Duration: c.Duration, Rate: c.Rate, Mixed: c.Mixed,
		Devices: c.Devices, Idle: c.Idle, Few: c.Few, Many: c.Many, Settle: c.Settle, Steady: c.Steady, Window: streams.SingleProcessWindow}
	return c.reported(ctx, p, func(report *bench.Report, progress bench.Progress) error {
		results := make(map[string]bench.Result)
		err := c.launcher().All(ctx, o, progress, func(key string, r bench.Result) {
			results[key] = r
			report.Results = append(report.Results, r)
		})
		report.Rows = bench.Rows(results)
		return err
	})
}

// Run holds devices until the process gets a signal.
func (c benchHold) Run(ctx context.Context, p Process) error {
	log := newLog(logFlags{LogLevel: "info"}, p.Stderr)
	raiseFileLimit(log)
	tokens, err := bench.ReadTokens(c.TokenKey)
	if err != nil {
		return cannotStart(err)
	}
	server := &bench.Server{URLs: []string{c.URL}, Tokens: tokens}
	return bench.Hold(ctx, server, bench.HoldOptions{Prefix: c.Prefix, Devices: c.Devices}, func() {
		fmt.Fprintf(p.Stdout, "holds %d devices\n", c.Devices)
	})
}

// cluster returns the cluster of the flags, or nil without one.
func (c benchNATS) cluster() (*embedded.Cluster, error) {
	if c.ClusterListen == "" {
		return nil, nil
	}
	host, port, err := splitAddress(c.ClusterListen)
	if err != nil {
		return nil, err
	}
	cluster := &embedded.Cluster{Node: c.Node, Host: host, Port: port}
	for _, route := range c.Routes {
		u, err := url.Parse(route)
		if err != nil {
			return nil, fmt.Errorf("--routes: %w", err)
		}
		cluster.Routes = append(cluster.Routes, u)
	}
	return cluster, nil
}

// Run runs NATS as `roost serve` would, or as a node of a cluster, until the process gets a
// signal.
func (c benchNATS) Run(ctx context.Context, p Process) error {
	host, port, err := splitAddress(c.Listen)
	if err != nil {
		return cannotStart(err)
	}
	cluster, err := c.cluster()
	if err != nil {
		return cannotStart(err)
	}
	server, err := embedded.Start(embedded.Options{StoreDir: filepath.Clean(c.StoreDir), Host: host, Port: port,
		SyncInterval: c.Sync, Cluster: cluster})
	if err != nil {
		return cannotStart(err)
	}
	defer server.Stop()
	fmt.Fprintf(p.Stdout, "nats listens url=nats://%s\n", c.Listen)
	<-ctx.Done()
	return nil
}
