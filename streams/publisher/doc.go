// Package publisher commits entries to streams: many callers, one [Publisher], and per
// stream one writer that groups what waits.
//
// # Group commit
//
// A writer publishes few entries one by one, pipelined; many as one atomic batch (NATS
// ADR-50), which the server syncs to disk once. There is no timer: while the stream
// works, the next batch gathers. While a batch is in flight nothing else is published.
// If the stream refuses a batch, nobody says which entry it was for. So the writer
// publishes the entries of that batch one by one, before everything later.
//
// # Goroutines
//
// One per writer, which starts with the first commit to its stream, and one of nats.go
// that hears the answers. If nothing is in flight, the caller of Commit publishes.
// [Publisher.Close] waits for all writers.
//
// # Failure
//
// Each entry has exactly one [Outcome]. An entry without an answer in time has an
// unknown outcome and is reported so, never guessed; a writer does not publish it again.
// A commit that waited for too long and was not published is reported as not stored.
package publisher
