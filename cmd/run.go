package cmd

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// FlagVars are the variables that flags name: the duration and the warm-up of a measurement
// of bench, unless its command sets others.
var FlagVars = kong.Vars{"duration": "10s", "warmup": "2s", "warmup_note": ""}

// Run parses args by the command table, a pointer to a struct of commands, and runs the
// command that they name. Its context ends with ctx, SIGINT or SIGTERM. Outcomes:
//  1. nil: the command ended as it should, or --help printed itself.
//  2. A [UsageError]: the command could not begin.
//  3. Another error: the command failed.
func Run(ctx context.Context, table any, args []string, p Process) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	helped := false
	parser, err := kong.New(table,
		kong.Name("roost"),
		kong.Description("A messaging backend to run yourself."),
		kong.Configuration(yamlConfig),
		FlagVars,
		kong.Writers(p.Stdout, p.Stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if helped {
		return nil
	}
	if err != nil {
		return cannotStart(err)
	}
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run(p)
}
