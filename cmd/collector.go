package cmd

import (
	"os"
	"runtime/debug"
)

const (
	// heapFloor is the size of memory that is never touched, so that the system gives it no
	// pages. The collector counts it as in use.
	heapFloor = 128 << 20
	// heapPercent is GOGC: how far the heap grows until the next collection, in percent
	// of the memory in use after the last one.
	heapPercent = 50
)

// setCollector makes the runtime collect garbage when the heap has grown by 64 MiB and by
// half of the memory in use. The default, to double the heap, takes more memory if the
// heap is large and more processor time if it is small. If the environment has GOGC or
// GOMEMLIMIT, it sets nothing: the floor would count against a limit. The caller keeps the
// floor that it returns alive.
func setCollector() (floor []byte) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	debug.SetGCPercent(heapPercent)
	return make([]byte, heapFloor)
}
