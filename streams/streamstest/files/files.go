// Package files takes file descriptors from a process, for tests of reads and writes that
// fail. It imports nothing of Roost, so that the tests inside each package can use it.
// What it changes is of the whole process: such a test does not run beside others.
package files

import (
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// None lets this process open no file until restore, or the end of the test. Files that
// are open stay.
func None(t testing.TB) (restore func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	set := func(l syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
			t.Error(err)
		}
	}
	set(syscall.Rlimit{Cur: 0, Max: before.Max})
	restore = sync.OnceFunc(func() { set(before) })
	t.Cleanup(restore)
	return restore
}

// Bury stores 5 MB in the streams of some subjects, each a format for one number, and so
// begins a new block in each: after its next start the server opens a file to read what
// is stored so far.
func Bury(t testing.TB, js jetstream.JetStream, subjects ...string) {
	t.Helper()
	const blockBytes, piece = 4 << 20, 900_000
	for _, subject := range subjects {
		for n := range blockBytes/piece + 2 {
			if _, err := js.Publish(t.Context(), fmt.Sprintf(subject, n), make([]byte, piece)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
