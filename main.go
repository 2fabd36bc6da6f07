// Command roost is a messaging backend that people can run themselves: see
// README.md, and docs/architecture.md for how it is built.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK    = 0
	exitFault = 1 // it ran, and then failed
	exitUsage = 2 // it cannot begin: one line says what to do
)

// version is set by the linker for releases.
var version = ""

// commands is the mode table.
type commands struct {
	Config kong.ConfigFlag `help:"YAML file with settings, by the names of the flags." env:"ROOST_CONFIG" placeholder:"FILE"`

	Serve    serveCommand    `cmd:"" help:"Run everything in this process: NATS, gateway, workers, history."`
	Gateway  gatewayCommand  `cmd:"" help:"Run a gateway against a NATS cluster."`
	Worker   workerCommand   `cmd:"" help:"Run the workers against a NATS cluster and a MongoDB."`
	Streams  streamsCommand  `cmd:"" help:"Set up the streams of a NATS cluster."`
	Show     showCommand     `cmd:"" name:"config" help:"Print the effective configuration of serve, secrets masked."`
	Bench    benchCommand    `cmd:"" help:"Load a server and report what it did."`
	Capacity capacityCommand `cmd:"" help:"Compute how many machines a load takes."`
	Chat     chatCommand     `cmd:"" help:"Chat in the terminal."`
	Version  versionCommand  `cmd:"" help:"Print the version."`
}

type streamsCommand struct {
	Plan  planCommand  `cmd:"" help:"Say what apply would do."`
	Apply applyCommand `cmd:"" help:"Create or change streams; refuses what would lose data."`
}

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// process is what a command gets of the process that it runs in.
type process struct {
	ctx    context.Context // ends with SIGINT or SIGTERM
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// usageError keeps a command from beginning: its text says what to do.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// cannotStart marks err as a reason not to begin; nil stays nil.
func cannotStart(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// flagVars are what flags name: the duration and the warm-up of a measurement of bench,
// unless its command sets others.
var flagVars = kong.Vars{"duration": "10s", "warmup": "2s", "warmup_note": ""}

// execute is main with everything that a test wants to choose.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	var cli commands
	exit := -1
	parser, err := kong.New(&cli,
		kong.Name("roost"),
		kong.Description("A messaging backend to run yourself."),
		kong.Configuration(yamlConfig),
		flagVars,
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return complain(stderr, err)
	}
	command, err := parser.Parse(args)
	if exit >= 0 {
		return exit // --help printed itself
	}
	if err != nil {
		return complain(stderr, usageError{err})
	}
	return complain(stderr, command.Run(process{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr}, command))
}

// complain prints one line for an error and chooses the exit code.
func complain(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(w, "roost: %v\n", err)
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFault
}

type versionCommand struct{}

func (versionCommand) Run(p process) error {
	_, err := fmt.Fprintf(p.stdout, "roost %s\n", versionText())
	return err
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
