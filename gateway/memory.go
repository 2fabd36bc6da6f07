package gateway

import (
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
)

const (
	// minWave is how many allocated bytes make a wave.
	minWave = 64 << 20
	// quiet is how many bytes a second the process may allocate after a wave has ended.
	quiet = 4 << 20
)

// wave notices the end of a burst of allocations, for clients that connected or for frames that
// waited for them. Most of it is garbage then. With idle connections nothing else would make the
// runtime collect it and return it to the operating system.
type wave struct {
	returned uint64 // bytes ever allocated, when memory was returned last
	seen     uint64 // the same at the last look
}

// over reports whether a wave has ended. allocated is the bytes that the process ever allocated. The
// caller asks once a second.
func (w *wave) over(allocated uint64) bool {
	since, lately := allocated-w.returned, allocated-w.seen
	w.seen = allocated
	if since < minWave || lately > min(since/100, quiet) {
		return false
	}
	w.returned = allocated
	return true
}

// allocated is how many bytes the process has ever allocated.
func allocated() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}

// giveBack collects twice, because the first collection keeps objects with finalizers and in pools.
func giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
}
