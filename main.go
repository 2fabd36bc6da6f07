// Command roost is a messaging backend that people can run themselves: see
// README.md, and docs/architecture.md for how it is built.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"roost/cmd"
)

// Exit codes.
const (
	exitOK    = 0
	exitFault = 1 // the command began, and then failed
	exitUsage = 2 // the command could not begin: one line says what to do
)

// version is set by the linker for releases.
var version = ""

// commands is the command table.
type commands struct {
	ConfigFile kong.ConfigFlag `name:"config" help:"YAML file with settings, by the names of the flags." env:"ROOST_CONFIG" placeholder:"FILE"`

	Serve    cmd.Serve    `cmd:"" help:"Run everything in this process: NATS, gateway, workers, history."`
	Gateway  cmd.Gateway  `cmd:"" help:"Run a gateway against a NATS cluster."`
	Worker   cmd.Worker   `cmd:"" help:"Run the workers against a NATS cluster and a MongoDB."`
	Streams  cmd.Streams  `cmd:"" help:"Set up the streams of a NATS cluster."`
	Config   cmd.Config   `cmd:"" help:"Print the effective configuration of serve, secrets masked."`
	Bench    cmd.Bench    `cmd:"" help:"Load a server and report the measurements."`
	Capacity cmd.Capacity `cmd:"" help:"Compute how many machines a load takes."`
	Chat     cmd.Chat     `cmd:"" help:"Chat in the terminal."`
	Version  cmd.Version  `cmd:"" help:"Print the version."`
}

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// execute runs the command that args name. It prints one line for an error and returns
// the exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := cmd.Run(ctx, new(commands), args, cmd.Process{Stdin: stdin, Stdout: stdout, Stderr: stderr, Version: version})
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "roost: %v\n", err)
	var usage *cmd.UsageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFault
}
