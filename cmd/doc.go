// Package cmd has the commands of the binary, one a file: each struct is a command with
// its flags, and its Run puts the parts together that other packages have. Besides it
// holds what every process needs: settings, logs, signals, the limit of open files, the
// guard of the disk and a shutdown that ends in time. It decides nothing about messages.
//
// # Goroutines
//
// Serve, Gateway and Worker run one group of actors: the HTTP server, the workers, the
// disk guard and the wait for a signal. The first actor that returns ends all, and the
// group waits for them. Then the closers run, in the reverse order of what they close.
//
// # Failure
//
// A command that cannot begin returns a [UsageError], whose one line says what to do. At
// the deadline of the shutdown the process logs the parts that still run, and the command
// returns an error although they run.
package cmd
