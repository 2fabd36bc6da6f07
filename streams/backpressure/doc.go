// Package backpressure holds senders back while the removal of acknowledged entries is
// behind: in this process, or at another gateway that says so in its lease. Without it, a
// cluster under load would accept messages faster than it removes them.
//
// The inboxes of the process count entries with [Admission.Add]. Senders call
// [Admission.Admit] before they commit. The lease keeper writes what [Admission.Announce]
// says into the lease of this gateway, and the watch of leases calls [Admission.Note] with
// what other gateways say.
//
// # Goroutines
//
// It starts none. A timer of the runtime runs for each other gateway that is behind, until
// [Admission.Close].
//
// # Failure
//
// A gateway that removes next to nothing for a minute stops holding back other gateways;
// its own senders go on waiting. A lease that ends or is not renewed holds nobody back.
package backpressure
