package bench

import (
	"context"
	"fmt"
	"time"
)

// AllOptions are the parameters of [Launcher.All].
type AllOptions struct {
	Size     int
	Warmup   time.Duration // before each measurement
	Duration time.Duration // of each measurement
	Rate     float64       // of the open loop, sends a second
	Mixed    float64       // of the day in a chat app
	Devices  int           // of the reconnect storm
	Idle     int           // silent connections to one process
	Many     int           // devices of the comparison with few
	Few      int
	Settle   time.Duration // rest before memory is read
	Steady   time.Duration // of the steady load
	Window   time.Duration // how long streams of one server keep message ids
}

// step is one scenario of a run.
type step struct {
	key string // the key of the result
	run func(context.Context, *Env) (Result, error)
}

// All runs every scenario, each group on its own server, and hands each result to done under
// the key of [Rows].
func (x Launcher) All(ctx context.Context, o AllOptions, progress Progress, done func(key string, r Result)) error {
	if progress == nil {
		progress = func(string, int, int) {}
	}
	for _, raw := range o.raw() {
		r, err := x.Raw(ctx, raw.options, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Title, err)
		}
		done(raw.key, r)
	}
	for _, group := range o.groups() {
		if err := x.group(ctx, group, progress, done); err != nil {
			return err
		}
	}
	r, err := x.Scale(ctx, ScaleOptions{Few: o.Few, Many: o.Many,
		Load: OpenOptions{Rate: o.Rate, Size: o.Size, Warmup: o.Warmup, Duration: o.Duration}}, progress)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Title, err)
	}
	done(keyScale, r)
	return nil
}

// group runs scenarios one after the other on one server.
func (x Launcher) group(ctx context.Context, steps []step, progress Progress, done func(string, Result)) error {
	progress("starting a server", 0, 0)
	server, err := x.Start(ctx, 0)
	if err != nil {
		return err
	}
	defer server.Stop()
	env := NewEnv(&server.Server, progress)
	for _, s := range steps {
		r, err := s.run(ctx, env)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Title, err)
		}
		done(s.key, r)
	}
	return nil
}

// Keys of results.
const (
	keyRawFast    = "raw without fsync"
	keyClosed     = "closed 50 × 16"
	keyManyPairs  = "closed 500 × 16"
	keyOneAtATime = "closed 50 × 1"
	keyOpen       = "open"
	keyMixed      = "mixed"
	keyDrain      = "drain"
	keyDrainMany  = "drain many"
	keyHistory    = "history"
	keyIdle       = "idle"
	keyStorm      = "storm"
	keyScale      = "scale"
	keySteady     = "steady"
)

type rawStep struct {
	key     string
	options RawOptions
}

// RawClients and RawSize are the parameters of the first measurements of JetStream.
const (
	RawClients = 8
	RawSize    = 200
)

func (o AllOptions) raw() []rawStep {
	base := RawOptions{Clients: RawClients, Size: RawSize, Warmup: time.Second, Duration: o.Duration / 2}
	fast, inbox, synced := base, base, base
	inbox.AsInbox, synced.Sync = true, true
	steps := []rawStep{{keyRawFast, fast}, {"raw as inbox", inbox}, {"raw fsync", synced}}
	for _, batch := range []int{16, 100, 1000} {
		batched := synced
		batched.Batch = batch
		steps = append(steps, rawStep{fmt.Sprint("raw batch ", batch), batched})
	}
	return steps
}

func (o AllOptions) groups() [][]step {
	closed := func(pairs, window int) func(context.Context, *Env) (Result, error) {
		return func(ctx context.Context, env *Env) (Result, error) {
			return Closed(ctx, env, o.closed(pairs, window))
		}
	}
	return [][]step{{
		{keyOpen, func(ctx context.Context, env *Env) (Result, error) {
			return Open(ctx, env, OpenOptions{Rate: o.Rate, Pairs: 50, Size: o.Size, Warmup: o.Warmup, Duration: o.Duration})
		}},
	}, {
		{keyClosed, closed(50, 16)},
		{keyManyPairs, closed(500, 16)},
		{keyOneAtATime, closed(50, 1)},
		{keyMixed, func(ctx context.Context, env *Env) (Result, error) {
			return Mixed(ctx, env, MixedOptions{Rate: o.Mixed, Users: 1000, Size: o.Size, Warmup: o.Warmup, Duration: o.Duration})
		}},
		{keyDrain, func(ctx context.Context, env *Env) (Result, error) {
			return Drain(ctx, env, DrainOptions{Devices: 10, Backlog: 1000, Size: o.Size})
		}},
		{keyDrainMany, func(ctx context.Context, env *Env) (Result, error) {
			return DrainMany(ctx, env, DrainOptions{Devices: 500, Backlog: 20, Size: o.Size})
		}},
	}, {
		{keyHistory, func(ctx context.Context, env *Env) (Result, error) { return History(ctx, env, o.closed(50, 16)) }},
	}, {
		{keyIdle, func(ctx context.Context, env *Env) (Result, error) {
			return Idle(ctx, env, IdleOptions{Devices: o.Idle, Parallel: connecting, Settle: o.Settle})
		}},
		{keyStorm, func(ctx context.Context, env *Env) (Result, error) {
			return Storm(ctx, env, StormOptions{Devices: o.Devices, Parallel: 256})
		}},
	}, {
		{keySteady, func(ctx context.Context, env *Env) (Result, error) { return Steady(ctx, env, o.steady()) }},
	}}
}

// Parameters of the steady load that has rows in the table of targets.
const (
	steadyRate      = 1500
	steadySenders   = 50
	steadyReceivers = 300
	// steadySamples is the number of readings of such a load.
	steadySamples = 12
)

func (o AllOptions) steady() SteadyOptions {
	s := SteadyOptions{Rate: steadyRate, Senders: steadySenders, Receivers: steadyReceivers, Size: o.Size,
		Duration: o.Steady, Sample: o.Steady / steadySamples}
	s.Warmup = s.Fill(o.Window)
	return s
}

func (o AllOptions) closed(pairs, window int) ClosedOptions {
	return ClosedOptions{Pairs: pairs, Window: window, Size: o.Size, Warmup: o.Warmup, Duration: o.Duration}
}

// Rows compares results, by their keys, with the targets.
func Rows(results map[string]Result) []Row {
	figure := func(key, name string) *float64 {
		r := results[key]
		if v, ok := r.Figure(name); ok {
			return &v
		}
		return nil
	}
	latency := func(of func(Latency) float64) *float64 {
		l, ok := results[keyOpen].Latency[LatencyEndToEnd]
		if !ok {
			return nil
		}
		v := of(l)
		return &v
	}
	var ratio *float64
	if sends, raw := figure(keyClosed, FigureSends), figure(keyRawFast, FigurePublishes); sends != nil && raw != nil && *raw > 0 {
		v := *sends / *raw
		ratio = &v
	}
	return []Row{
		{Figure: "messages end to end, 50 pairs × 16", Unit: "/s", Least: 13_000, Aim: 20_000, Value: figure(keyClosed, FigureDelivered)},
		{Figure: "messages end to end, 500 pairs × 16", Unit: "/s", Least: 12_000, Aim: 20_000, Value: figure(keyManyPairs, FigureDelivered)},
		{Figure: "messages end to end, 50 pairs × 1", Unit: "/s", Least: 5_000, Aim: 10_000, Value: figure(keyOneAtATime, FigureDelivered)},
		{Figure: "server CPU per message, 50 pairs × 16", Unit: "ms", Least: 0.10, Aim: 0.07, Lower: true, Value: figure(keyClosed, FigureCPU)},
		{Figure: "the same with many devices ÷ with few", Least: 1.25, Aim: 1.1, Lower: true, Value: figure(keyScale, FigureRatio)},
		{Figure: "accepted sends ÷ raw publishes without fsync", Least: 0.25, Aim: 0.5, Value: ratio},
		{Figure: "end to end p50, open loop", Unit: "ms", Least: 1, Aim: 0.7, Lower: true, Value: latency(func(l Latency) float64 { return l.P50 })},
		{Figure: "end to end p99, open loop", Unit: "ms", Least: 8, Aim: 3, Lower: true, Value: latency(func(l Latency) float64 { return l.P99 })},
		{Figure: "memory per idle connection", Unit: "KiB", Least: 16, Aim: 11, Lower: true, Value: figure(keyIdle, FigureMemory)},
		{Figure: "server CPU per connect", Unit: "ms", Least: 0.4, Aim: 0.25, Lower: true, Value: figure(keyIdle, FigureConnectCPU)},
		{Figure: "reconnect storm, devices", Unit: "/s", Least: 2_000, Aim: 5_000, Value: figure(keyStorm, FigureConnects)},
		{Figure: "backlog of 1,000, connect to drained", Unit: "ms", Least: 60, Aim: 20, Lower: true, Value: figure(keyDrain, FigureBacklog)},
		{Figure: "throughput kept with history of every user", Unit: "%", Least: 50, Aim: 75, Value: figure(keyHistory, FigureKept)},
		{Figure: "steady load, reasons why it is not flat", Least: 0, Aim: 0, Lower: true, Value: figure(keySteady, FigureReasons)},
		{Figure: "acknowledged load redelivered after a cut", Unit: "s", Least: 1, Aim: 0.5, Lower: true, Value: figure(keySteady, FigureRedeliveredSeconds)},
	}
}
