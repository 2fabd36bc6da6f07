// Package sendlog keeps the records of accepted sends, in SENT_p: the durable answer to
// every retry. A record has ids and a hash of the content, and no content. There are two
// implementations of [Log]; package streams chooses one when it opens.
//
// # Record first
//
// [First] commits the record of a send before its copies. A retry finds the record, and
// completes the copies if the gateway died in between. It is for clusters.
//
// # Record after the copies
//
// [Async] commits records in batches after the copies, so accepting a message costs one
// sync of the disk and not two. It needs a server that no other process uses, and one
// partition. Each accepted send still has a durable record, or its copies are in INBOX_0:
//
//  1. A copy has everything that the record says. One thing is missing in a copy: that the
//     receiver blocked the sender. A record that says so is committed first.
//  2. Before an entry leaves INBOX_0, [Log.BeforeRemoval] waits for the records of all
//     entries up to it.
//  3. Before a record is looked up, Last and Find wait for the queued records of that
//     device.
//  4. A process that starts writes the missing records ([First.Recover]). Each record has a
//     sequence of INBOX_0: every copy before it has its record. So Recover reads from the
//     newest such sequence on.
//  5. A send without copies waits for its record ([Log.WhenRecorded]).
//
// # Goroutines
//
// Async runs one goroutine, until Close, which waits for it. First runs none. The methods of
// both may be called concurrently.
//
// # Failure
//
// Async retries a record that was not stored until Close. Its entries stay in the inbox
// meanwhile. The next start of the process writes the records that are left. If too many
// records are queued, Record returns [publisher.ErrBusy].
package sendlog
