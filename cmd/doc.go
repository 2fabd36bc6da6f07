// Package cmd has the commands of the binary, one a file. Each struct is a command with
// its flags. Its Run opens the parts of other packages and connects them. The package also
// has the parts of a process: settings, logs, signals, the limit of open files, the guard
// of the disk and a shutdown with a deadline. It decides nothing about messages.
//
// # Goroutines
//
// Serve, Gateway and Worker run one group of actors: the HTTP server, the workers, the
// disk guard and the wait for a signal. The first actor that returns ends all, and the
// group waits for them. Then the parts are closed, in the reverse of the order in which
// they were opened.
//
// # Failure
//
// A command that cannot begin returns a [UsageError], whose one line says what to do. The
// process then exits with 2. If an actor fails later, the process exits with 1. At the
// deadline of the shutdown the process logs the parts that still run, and the command
// returns an error without waiting for them.
package cmd
