// Package sqlite keeps history in one SQLite file, for `roost serve` on one
// machine. It passes workers/historytest.
//
// # Promise
//
// After Append returns nil, the messages are in the write-ahead log and synced to the
// disk (journal_mode=WAL, synchronous=FULL). A batch of up to 1,000 messages and
// updates is one transaction and one fsync. The transaction also applies the updates.
//
// # Goroutines
//
// The package starts no goroutine. Those of database/sql end with Close. Writes queue
// for one connection. Reads share four connections and see the last commit during a
// write. Another process may open the file too; a write waits up to 30 s for the lock of
// that process, or until ctx ends.
//
// # Failure
//
// A failed transaction is rolled back, and the method returns an error. Batches that
// were committed before stay, as workers.Store allows.
//
// # File
//
// SQLite overwrites deleted data in the file (secure_delete). The write-ahead log holds
// it until SQLite reuses that part of the log, or until Close. The file does not shrink:
// later messages reuse the space. Only its owner can read the file and its two
// companions (-wal, -shm).
package sqlite
