package bench

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// usage is the CPU and the memory of processes.
type usage struct {
	cpu    time.Duration // user and system
	rss    int64         // bytes resident
	anon   int64         // bytes of rss without files
	moment time.Time
}

// measure sums up the usage of processes on this machine.
func measure(pids []int) (usage, error) {
	u := usage{moment: time.Now()}
	for _, pid := range pids {
		proc, err := procfs.NewProc(pid)
		if err != nil {
			return u, fmt.Errorf("failed to measure process %d: %w", pid, err)
		}
		stat, err := proc.Stat()
		if err != nil {
			return u, fmt.Errorf("failed to measure process %d: %w", pid, err)
		}
		status, err := proc.NewStatus()
		if err != nil {
			return u, fmt.Errorf("failed to measure process %d: %w", pid, err)
		}
		u.cpu += time.Duration(stat.CPUTime() * float64(time.Second))
		u.rss += int64(status.VmRSS)
		u.anon += int64(status.RssAnon)
	}
	return u, nil
}
