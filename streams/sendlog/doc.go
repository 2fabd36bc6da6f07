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
//  1. A copy holds all that the record says. If a record would say more, because a copy
//     does not tell who blocks whom, it is committed first.
//  2. Before an entry leaves INBOX_0, [Log.BeforeRemoval] waits for the records of all
//     entries up to it.
//  3. Before a record is looked up, Last and Find wait for the queued records of that
//     device.
//  4. A process that starts writes the records that are missing ([First.Recover]). Each
//     record says from which sequence of INBOX_0 on one has to look.
//  5. A send without copies waits for its record ([Log.WhenRecorded]).
//
// # Goroutines
//
// Async runs one, until Close. First runs none.
//
// # Failure
//
// A record that was not stored is tried again until Close; its entries stay in the inbox
// meanwhile. Records left at the end of the process are written by the next start. With
// too many records queued, Record answers [publisher.ErrBusy].
package sendlog
