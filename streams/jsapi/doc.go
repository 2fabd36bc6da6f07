// Package jsapi makes the calls of JetStream that the parts of Roost share: reads by
// Direct Get ([Client.Read], [Client.Pages], [Client.Last]), records of buckets ([Get],
// [Update], [Client.Bucket]) and removals ([Client.Purge], [Client.Delete]).
//
// # Bounds
//
// At most 64 calls of the JetStream API and 32 reads are in progress for a [Client]. More
// wait for their turn, so a storm of reconnects queues here and not in the server. Each
// call has 5 s.
//
// # Goroutines
//
// One for each [Client.Watch], until it is stopped or the Client is closed and its
// connections are too. All other calls run on the goroutine of the caller.
//
// # Failure
//
// A read finds something, finds nothing, or fails. NATS answers 404 in the last two
// cases: also if no file descriptor is left, the disk fails, the file is damaged or the
// store closes. So no 404 counts before it is confirmed by the index of subjects, which
// the server keeps in memory. If absence is final for a user, the index of the stream's
// leader counts, so a replica that lags says nothing false either. A read that finds
// something costs nothing more. What failed is [ErrUnreadable] or the error of the call.
package jsapi
