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

// wave notices that the process allocated much, for clients that connected or for frames
// that waited for them, and that this is over. Most of it is garbage then, and with idle
// connections nothing would make the runtime collect it and give it back.
type wave struct {
	settled uint64 // bytes ever allocated, when memory was given back last
	seen    uint64 // the same at the last look
}

// over says whether a wave has ended. allocated counts the bytes that the process ever
// allocated; it is asked once a second.
func (w *wave) over(allocated uint64) bool {
	since, lately := allocated-w.settled, allocated-w.seen
	w.seen = allocated
	if since < minWave || lately > min(since/100, quiet) {
		return false
	}
	w.settled = allocated
	return true
}

// allocated is how many bytes the process has ever allocated.
func allocated() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}

// giveBack collects twice, for what has a finalizer or stands in a pool goes only
// at the second time.
func giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
}
