package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"roost/bench"
)

// Bench is `roost bench`: it loads a server and reports the measurements.
type Bench struct {
	All     benchAll     `cmd:"" default:"withargs" help:"All scenarios of the table of targets (the default)."`
	Closed  benchClosed  `cmd:"" help:"A closed loop: senders that keep a number of sends unanswered."`
	Open    benchOpen    `cmd:"" help:"An open loop: a fixed rate, with latency from the due time."`
	Idle    benchIdle    `cmd:"" help:"Silent connections: memory of each, CPU of a connect."`
	Storm   benchStorm   `cmd:"" help:"All devices lose their connections and reconnect at once."`
	Drain   benchDrain   `cmd:"" help:"Backlogs of one device after the other, and of many at once."`
	Scale   benchScale   `cmd:"" help:"CPU of a message with few and with many connected devices."`
	History benchHistory `cmd:"" help:"Throughput with history of every user."`
	Mixed   benchMixed   `cmd:"" help:"A day in a chat app, at a rate."`
	Fanout  benchFanout  `cmd:"" help:"Fan-out of messages to groups."`
	Steady  benchSteady  `kong:"cmd,set='duration=5m',set='warmup=0s',set='warmup_note=; 0s lasts until bounded memory is full, at least a minute',help='A constant rate for long: whether memory, streams and backlogs stay flat.'"`
	Raw     benchRaw     `cmd:"" help:"The limit: JetStream itself."`
	Hold    benchHold    `cmd:"" hidden:"" help:"Hold silent devices; scale uses it."`
	NATS    benchNATS    `cmd:"" hidden:"" name:"nats" help:"A NATS server without Roost; raw uses it."`
}

// benchFlags are the flags of every scenario.
type benchFlags struct {
	URL       []string      `help:"Load this server instead of a new one: http://HOST:PORT of each gateway." placeholder:"URL"`
	PID       []int         `name:"pid" help:"Processes of that server, for CPU and memory." placeholder:"PID"`
	TokenKey  string        `help:"The file token.key of that server, to make tokens with." type:"path" placeholder:"FILE"`
	DataDir   string        `help:"Directory for the data of the new server: it decides which disk is measured." default:"." type:"path"`
	ServeArgs string        `help:"More flags for the new server, separated by spaces." placeholder:"FLAGS"`
	Duration  time.Duration `help:"How long each measurement takes." default:"${duration}"`
	Warmup    time.Duration `help:"Load before a measurement${warmup_note}." default:"${warmup}"`
	Size      int           `help:"Bytes of a message's content, 32 to 1000." default:"100"`
	JSON      string        `name:"json" help:"Write the report to this file as JSON." type:"path" placeholder:"FILE"`
	HTML      string        `name:"html" help:"Write the report to this file as a page." type:"path" placeholder:"FILE"`

	cluster bool // the server that is started is a cluster
}

func (f benchFlags) validate() error {
	switch {
	case f.Duration <= 0 || f.Warmup < 0:
		return errors.New("--duration is more than 0, and --warmup is not negative")
	case f.Size < bench.MinContent || f.Size > bench.MaxContent:
		return fmt.Errorf("--size is %d to %d", bench.MinContent, bench.MaxContent)
	case len(f.URL) > 0 && f.TokenKey == "":
		return errors.New("--url needs --token-key, the server's file token.key")
	case len(f.URL) == 0 && (len(f.PID) > 0 || f.TokenKey != ""):
		return errors.New("--pid and --token-key belong to --url")
	}
	return nil
}

func (f benchFlags) launcher() bench.Launcher {
	return bench.Launcher{Parent: f.DataDir, Args: strings.Fields(f.ServeArgs)}
}

// server returns the server of the flags, or starts one.
func (f benchFlags) server(ctx context.Context) (*bench.Server, func(), error) {
	if len(f.URL) == 0 {
		start := func(ctx context.Context) (*bench.Launched, error) { return f.launcher().Start(ctx, 0) }
		if f.cluster {
			start = f.launcher().StartCluster
		}
		launched, err := start(ctx)
		if err != nil {
			return nil, nil, err
		}
		return &launched.Server, launched.Stop, nil
	}
	tokens, err := bench.ReadTokens(filepath.Clean(f.TokenKey))
	if err != nil {
		return nil, nil, cannotStart(err)
	}
	return &bench.Server{URLs: f.URL, PIDs: f.PID, Tokens: tokens}, func() {}, nil
}

// reported runs scenarios and writes the report, even if one of them fails.
func (f benchFlags) reported(ctx context.Context, p Process, run func(report *bench.Report, progress bench.Progress) error) error {
	raiseFileLimit(newLog(logFlags{LogLevel: "warn"}, p.Stderr))
	debug.SetGCPercent(benchGCPercent)
	report := &bench.Report{Started: time.Now().UTC(), Version: p.version(), Command: strings.Join(os.Args[1:], " "), Machine: bench.ThisMachine()}
	var progress bench.Progress
	if isTerminal(p.Stderr) {
		var clear func()
		progress, clear = bench.Bar(p.Stderr)
		defer clear()
	}
	err := run(report, progress)
	if ctx.Err() != nil {
		return errors.New("interrupted; there is no report")
	}
	return errors.Join(err, report.WriteTable(p.Stdout), f.write(report), report.Err())
}

// benchGCPercent makes the collector of the generator run less often, which leaves the
// processor to the server.
const benchGCPercent = 400

// write writes the files of --json and --html.
func (f benchFlags) write(report *bench.Report) error {
	var failed error
	if f.JSON != "" && f.JSON == f.HTML {
		return errors.New("--json and --html name the same file")
	}
	for path, write := range map[string]func(io.Writer) error{f.JSON: report.WriteJSON, f.HTML: report.WriteHTML} {
		if path != "" {
			failed = errors.Join(failed, writeFile(path, write))
		}
	}
	return failed
}

func writeFile(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("failed to write the report: %w", err)
	}
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("failed to write the report: %w", err)
	}
	if err := errors.Join(write(out), out.Close()); err != nil {
		return fmt.Errorf("failed to write %s: %w", path, err)
	}
	return nil
}

// scenario is one function of package bench with its parameters.
type scenario func(ctx context.Context, env *bench.Env) (bench.Result, error)

// against runs scenarios one after the other against a server.
func (f benchFlags) against(ctx context.Context, p Process, scenarios ...scenario) error {
	if err := f.validate(); err != nil {
		return cannotStart(err)
	}
	return f.reported(ctx, p, func(report *bench.Report, progress bench.Progress) error {
		server, stop, err := f.server(ctx)
		if err != nil {
			return err
		}
		defer stop()
		env := bench.NewEnv(server, progress)
		for _, run := range scenarios {
			if err := enter(report, func() (bench.Result, error) { return run(ctx, env) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// starting runs a scenario that starts its own servers.
func (f benchFlags) starting(ctx context.Context, p Process, run func(bench.Progress) (bench.Result, error)) error {
	if err := errors.Join(f.validate(), f.own()); err != nil {
		return cannotStart(err)
	}
	return f.reported(ctx, p, func(report *bench.Report, progress bench.Progress) error {
		return enter(report, func() (bench.Result, error) { return run(progress) })
	})
}

// own returns an error if the flags name a server for a scenario that starts its own.
func (f benchFlags) own() error {
	if len(f.URL) > 0 {
		return errors.New("this scenario starts servers of its own: leave --url out")
	}
	return nil
}

// enter runs a scenario and puts its result into the report.
func enter(report *bench.Report, run func() (bench.Result, error)) error {
	result, err := run()
	if err != nil {
		return fmt.Errorf("%s: %w", result.Title, err)
	}
	report.Results = append(report.Results, result)
	return nil
}
