// Package workers turns streams into side effects: it mirrors messages into the
// history store, answers requests for history, deletes what nobody may see any
// more, removes devices that nobody uses, and completes the deletion of accounts. One worker has one source, is idempotent, and can run any number of
// times beside itself. Gateways and workers meet only in a subject.
//
// # Goroutines
//
// [Run] runs five and waits for them: the mirror, which fetches a batch, stores
// it and acknowledges it; retention, which follows SETTINGS and a clock;
// retention's sweeper; upkeep, which goes round all people; and erasure, which
// hears of deleted accounts. History requests are answered on goroutines of package
// streams, bounded there. Ending Run's context stops fetching; the batch under
// way is finished, within stopTimeout.
//
// # Failure
//
// With the store down the mirror tries again with growing pauses and messages
// wait in MESSAGES; nothing else waits for it. A message that cannot be decoded
// can never be stored: it is terminated, counted and logged.
package workers
