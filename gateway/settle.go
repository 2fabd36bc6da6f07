package gateway

import (
	"runtime"
	"runtime/debug"
)

// minWave is how many new connections make a wave.
const minWave = 1000

// wave notices that many clients connected and that it is over. What greeting
// them took is garbage then, as much as what stays, and with idle connections
// nothing would make the runtime collect it and give it back.
type wave struct {
	settled uint64 // connections ever started, when memory was given back last
	seen    uint64 // … at the last look
}

// over says whether a wave has ended. started counts the connections ever
// started; it is asked once a second.
func (w *wave) over(started uint64) bool {
	since, lately := started-w.settled, started-w.seen
	w.seen = started
	if since < minWave || lately > since/100 {
		return false
	}
	w.settled = started
	return true
}

// giveBack collects twice, for what has a finalizer or stands in a pool goes only
// at the second time.
func giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
}
