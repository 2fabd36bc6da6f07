// Package publisher commits entries to streams. A process has one [Publisher], which any
// goroutine may call. It has one writer for each stream. A set of entries, such as the copies
// of one send, is stored in the order of the calls to [Publisher.Commit].
//
// # Group commit
//
// If few entries wait, the writer publishes them one by one, without waiting for each answer.
// If many wait, it publishes them as one atomic batch (NATS ADR-50), which the server syncs to
// disk once. The writer has no timer: entries collect while the stream works on the batch
// before. While a batch is in flight, the writer publishes nothing else. If the stream refuses
// a batch, it does not say because of which entry. So the writer publishes the entries of that
// batch again, one by one, before every later entry.
//
// # Goroutines
//
// Each writer has one goroutine, which starts with the first commit to its stream. One
// goroutine of nats.go receives the answers. If nothing is in flight, the caller of Commit
// publishes. [Publisher.Close] waits for all writers.
//
// # Failure
//
// Each entry of an accepted set gets exactly one [Outcome]. An entry without an answer in time
// has an unknown outcome ([ErrUnknownOutcome]), and the writer does not publish it again. The
// caller may commit it again under its id. An entry that waited for too long and was not
// published is not stored ([ErrNotStored]). If too many entries wait, Commit refuses the whole
// set ([ErrBusy]).
package publisher
