// Package backpressure holds senders back while the removal of acknowledged entries is
// behind: in this process, or at another gateway that says so in its lease. Without it, a
// cluster under load would accept messages faster than it removes them.
//
// The inboxes of the process count entries with [Admission.Add]. Senders call
// [Admission.Admit] before they commit, which waits. The lease keeper writes the result of
// [Admission.Announce] into the lease of this gateway. The watch of leases calls
// [Admission.Note] with the leases of other gateways. All methods may be called concurrently.
//
// # Goroutines
//
// The package starts none. It has one timer for each other gateway that is behind, until
// [Admission.Close].
//
// # Failure
//
// If a gateway makes almost no progress for a minute, it no longer holds back the senders of
// other gateways, and its own senders still wait. A lease that expires holds back no sender.
package backpressure
