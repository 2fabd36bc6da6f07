// Package presence watches who is online, for the connections of a gateway.
//
// A [Watcher] merges events of sessions with the records of sessions and the leases of
// gateways. It shows each change to the viewers of that user, unless the user hides it.
//
// # Goroutines
//
// The caller runs [Watcher.Run], which reads the records that are due. Events arrive on a
// goroutine of package streams. Both only queue frames.
//
// # Failure
//
// Events may be lost, so every watched user is read again each minute, and at once after a gap.
// A read that fails is retried. A user whose gateway died goes offline when its lease expires.
package presence
