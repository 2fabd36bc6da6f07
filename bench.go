package main

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
	"roost/schemas"
)

// benchCommand is `roost bench`: load, and a report of what it did.
type benchCommand struct {
	Closed benchClosed `cmd:"" help:"Senders with so many sends outstanding each."`
	Open   benchOpen   `cmd:"" help:"A fixed rate; latency from the due time."`
}

// benchFlags are those of every scenario.
type benchFlags struct {
	URL       []string      `help:"Load this server instead of one started for the purpose: http://HOST:PORT of its gateways." placeholder:"URL"`
	PID       []int         `name:"pid" help:"Its processes, for CPU and memory." placeholder:"PID"`
	TokenKey  string        `help:"Its file token.key, to make tokens with." type:"path" placeholder:"FILE"`
	DataDir   string        `help:"Where the server that is started keeps its data: decides which disk is measured." default:"." type:"path"`
	ServeArgs string        `help:"More flags for the server that is started, separated by spaces." placeholder:"FLAGS"`
	Duration  time.Duration `help:"How long each measurement takes." default:"10s"`
	Warmup    time.Duration `help:"Load before a measurement." default:"2s"`
	Size      int           `help:"Bytes of a message's content, 32 to 1000." default:"100"`
	JSON      string        `name:"json" help:"Write the report to this file as JSON." type:"path" placeholder:"FILE"`
}

type benchClosed struct {
	benchFlags
	Pairs  int `help:"Pairs of a sender and a receiver." default:"50"`
	Window int `help:"Sends outstanding of each sender, 1 to 64." default:"16"`
}

type benchOpen struct {
	benchFlags
	Rate  float64 `help:"Sends a second, together." default:"2000"`
	Pairs int     `help:"Pairs of a sender and a receiver." default:"50"`
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

// server starts a server, or is the one that the flags name.
func (f benchFlags) server(ctx context.Context) (*bench.Server, func(), error) {
	if len(f.URL) == 0 {
		launched, err := f.launcher().Start(ctx, 0)
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

// reported runs scenarios and writes the report of what they measured, also where
// one of them failed.
func (f benchFlags) reported(p process, run func(report *bench.Report, progress bench.Progress) error) error {
	raiseFileLimit(newLog(logFlags{LogLevel: "warn"}, p.stderr))
	debug.SetGCPercent(benchGCPercent)
	report := &bench.Report{Started: time.Now().UTC(), Version: versionText(), Command: strings.Join(os.Args[1:], " "), Machine: bench.ThisMachine()}
	var progress bench.Progress
	if isTerminal(p.stderr) {
		var clear func()
		progress, clear = bench.Bar(p.stderr)
		defer clear()
	}
	err := run(report, progress)
	if p.ctx.Err() != nil {
		return errors.New("interrupted; there is no report")
	}
	return errors.Join(err, report.WriteTable(p.stdout), f.write(report), report.Err())
}

// benchGCPercent leaves the processor to the server: the generator has little
// garbage.
const benchGCPercent = 400

// write writes the files that were asked for.
func (f benchFlags) write(report *bench.Report) error {
	var failed error
	for path, write := range map[string]func(io.Writer) error{f.JSON: report.WriteJSON} {
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

// one runs one scenario against a server of its own.
func (f benchFlags) one(p process, scenario func(ctx context.Context, env *bench.Env) (bench.Result, error)) error {
	if err := f.validate(); err != nil {
		return cannotStart(err)
	}
	return f.reported(p, func(report *bench.Report, progress bench.Progress) error {
		server, stop, err := f.server(p.ctx)
		if err != nil {
			return err
		}
		defer stop()
		result, err := scenario(p.ctx, bench.NewEnv(server, progress))
		if err != nil {
			return fmt.Errorf("%s: %w", result.Title, err)
		}
		report.Results = append(report.Results, result)
		return nil
	})
}

// Run implements `roost bench closed`.
func (c benchClosed) Run(p process) error {
	if c.Pairs < 1 || c.Window < 1 || c.Window > schemas.MaxOutstanding {
		return cannotStart(fmt.Errorf("--pairs is at least 1, --window 1 to %d", schemas.MaxOutstanding))
	}
	return c.one(p, func(ctx context.Context, env *bench.Env) (bench.Result, error) {
		return bench.Closed(ctx, env, bench.ClosedOptions{Pairs: c.Pairs, Window: c.Window, Size: c.Size, Warmup: c.Warmup, Duration: c.Duration})
	})
}

// Run implements `roost bench open`.
func (c benchOpen) Run(p process) error {
	if c.Pairs < 1 || !(c.Rate > 0) {
		return cannotStart(errors.New("--pairs is at least 1, --rate more than 0"))
	}
	return c.one(p, func(ctx context.Context, env *bench.Env) (bench.Result, error) {
		return bench.Open(ctx, env, bench.OpenOptions{Rate: c.Rate, Pairs: c.Pairs, Size: c.Size, Warmup: c.Warmup, Duration: c.Duration})
	})
}
