package files

import (
	"syscall"
	"testing"
	"unsafe"
)

// Limit changes how many files another process may have open, up to 4,096. Files that are
// open stay.
func Limit(t testing.TB, pid int, n uint64) {
	t.Helper()
	limit := syscall.Rlimit{Cur: n, Max: 4096}
	if _, _, err := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_NOFILE,
		uintptr(unsafe.Pointer(&limit)), 0, 0, 0); err != 0 {
		t.Fatal(err)
	}
}
