package cmd

import (
	"fmt"
	"log/slog"
	"math"
	"syscall"
)

// raiseFileLimit lets the process open as many files and sockets as it is allowed to,
// and returns how many that are.
func raiseFileLimit(log *slog.Logger) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		log.Warn("the limit of open files is unknown", "error", err)
		return leastFileLimit
	}
	raised := limit
	raised.Cur = raised.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
		log.Warn("the limit of open files could not be raised", "error", err)
		raised = limit
	}
	return int(min(raised.Cur, math.MaxInt32)) // it may be infinite
}

const (
	// leastFileLimit is what every system allows.
	leastFileLimit = 1024
	// filesOfProcess is what a process may need besides clients: databases, connections
	// to NATS, MongoDB and an issuer, refused connections. It uses some 30 when idle.
	filesOfProcess = 256
	// filesOfPartition is what the streams of one partition may need: each keeps its
	// newest block open, and opens others to read.
	filesOfPartition = 8
	// natsClients bounds the connections that --nats-listen takes.
	natsClients = 256
	// leastConnections is how many clients must be able to connect.
	leastConnections = 64
)

// connectionBound is how many TCP connections may be open: what is asked for, or all
// that the limit of open files leaves beyond the reserve.
func connectionBound(asked, limit, reserve int) (int, error) {
	left := limit - reserve
	if left < max(asked, leastConnections) {
		return 0, fmt.Errorf("the limit of open files is %d and %d are reserved for streams and databases; raise the limit (ulimit -n, LimitNOFILE=) to at least %d",
			limit, reserve, reserve+max(asked, leastConnections))
	}
	if asked > 0 {
		return asked, nil
	}
	return left, nil
}
