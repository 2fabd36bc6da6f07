package cmd

import (
	"context"
	"fmt"
	"runtime/debug"
)

// Version is `roost version`.
type Version struct{}

// Run implements `roost version`.
func (Version) Run(_ context.Context, p Process) error {
	_, err := fmt.Fprintf(p.Stdout, "roost %s\n", p.version())
	return err
}

// version returns the version of the release, or that of the build.
func (p Process) version() string {
	if p.Version != "" {
		return p.Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
