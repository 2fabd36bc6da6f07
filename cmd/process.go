package cmd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// Process is the part of the operating system process that a command gets.
type Process struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Version of a release. Default: that of the build.
	Version string
}

// UsageError is the error of a command that cannot begin: its text says what to do.
type UsageError struct{ err error }

func (e *UsageError) Error() string { return e.err.Error() }
func (e *UsageError) Unwrap() error { return e.err }

// cannotStart makes err a [UsageError]; nil stays nil.
func cannotStart(err error) error {
	if err == nil {
		return nil
	}
	return &UsageError{err}
}

func newLog(f logFlags, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // an enum of the flags
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w)}))
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// dataDir is the directory of `roost serve`, locked against a second process.
type dataDir struct {
	path string
	lock *flock.Flock
}

func openDataDir(path string) (*dataDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	lock := flock.New(filepath.Join(path, "LOCK"))
	got, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("the data directory %s cannot be locked: %w", path, err)
	}
	if !got {
		return nil, fmt.Errorf("the data directory %s is in use by another process; stop it, or choose another --data-dir", path)
	}
	return &dataDir{path: path, lock: lock}, nil
}

func (d *dataDir) close() { _ = d.lock.Unlock() }

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the address %s is taken by another process; stop it, or choose another --http", address)
	}
	if err != nil {
		return nil, fmt.Errorf("--http: %w", err)
	}
	return l, nil
}

// splitAddress parses HOST:PORT; an empty address gives port 0.
func splitAddress(address string) (host string, port int, err error) {
	if address == "" {
		return "", 0, nil
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("%q has no port of 1 to 65535", address)
	}
	return host, port, nil
}
