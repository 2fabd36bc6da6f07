// Package presence records which device is connected to which gateway, so that any process
// can tell whether a user is online.
//
// A session is one record for each device in bucket SESSIONS, written when the device connects
// and when it disconnects. A gateway has a lease in bucket GATEWAYS. A session whose gateway
// has no lease has ended. So no process sends heartbeats for single users.
//
// [Presence.Watch] tells one listener of each change that may turn a user online or offline:
// events of sessions (package bus), leases, and changed records of users.
//
// # Goroutines
//
// The watch of GATEWAYS runs in package jsapi, until the jsapi.Client closes or a new watch
// replaces it. [Presence.KeepLease] runs on the goroutine of its caller until its context ends,
// and then deletes the lease. Any goroutine may call the other methods.
//
// # Failure
//
// A gateway that dies leaves its sessions on record. They end when its lease expires, at most
// [LeaseTTL] later. If NATS lost the records, because a bucket was created again or lost its
// newest writes, KeepLease notices at the next renewal, reports it and restarts the watch. Then
// the gateway closes its connections, and the clients connect again.
package presence
