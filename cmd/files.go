package cmd

import (
	"fmt"
	"log/slog"
	"math"
	"syscall"
)

// raiseFileLimit raises the limit of open files as far as the system allows, and returns
// it.
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
	// leastFileLimit is a limit that every system allows.
	leastFileLimit = 1024
	// filesOfProcess is the reserve for all but clients: databases, connections to NATS,
	// MongoDB and an issuer, refused connections. An idle process uses some 30.
	filesOfProcess = 256
	// filesOfPartition is the reserve for the streams of one partition: each keeps its
	// newest block open, and opens others to read.
	filesOfPartition = 8
	// natsClients bounds the connections that --nats-listen takes.
	natsClients = 256
	// leastConnections is the smallest number of clients to start with.
	leastConnections = 64
)

// connectionBound returns how many TCP connections may be open: the asked number, or if
// that is 0 all files beyond the reserve.
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
