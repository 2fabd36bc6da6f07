// Package jsapi makes the calls of JetStream that the parts of Roost share: reads by
// Direct Get ([Client.Read], [Client.Pages], [Client.Last]), records of buckets ([Get],
// [Update], [Client.Bucket]) and removals ([Client.Purge], [Client.Delete]).
//
// # Bounds
//
// At most 64 calls of the JetStream API and 32 reads are in progress for a [Client]. Other
// calls wait for their turn, so a storm of reconnects queues here and not in the server. Each
// call has 5 s. All methods may be called concurrently.
//
// # Goroutines
//
// Each [Client.Watch] runs one goroutine. It ends after the function that Watch returned, or
// after [Client.Close] and the end of the connections. [Client.Wait] waits for all of them. All
// other calls run on the goroutine of the caller.
//
// # Failure
//
// A read finds something, finds nothing, or fails. NATS answers 404 in the last two
// cases: also if no file descriptor is left, the disk fails, the file is damaged or the
// store closes. So a 404 counts as absence only after the index of subjects confirms it, which
// the server keeps in memory. For accounts, devices, groups, keys and send records the index of the
// stream's leader decides, because a replica may lag. A read that finds something costs nothing
// more. A read that failed returns [ErrUnreadable] or the error of the call.
package jsapi
