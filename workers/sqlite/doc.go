// Package sqlite keeps history in one SQLite file, for `roost serve` on one
// machine. It passes workers/historytest.
//
// What it promises: when Append returns nil the messages are in the write-ahead
// log and fsynced (journal_mode=WAL, synchronous=FULL). A batch of up to 1,000
// messages is one transaction and one fsync, and what their updates do to them is
// done in it.
//
// Who runs: the package starts no goroutine of its own; those of database/sql
// end with Close. Writes queue for one connection, reads share four and see the
// last commit while a write goes on. Another process may have the file open; its
// writes are waited for up to 5 s, or until ctx ends.
//
// When it fails: an error, with the transaction rolled back. Batches that were
// committed before stay, which is what [Store.Append] allows.
//
// What is deleted is overwritten in the file (secure_delete); in the write-ahead log
// it stands until the log is used again from its start, or Close.
//
// The file and its two companions (-wal, -shm) are readable to their owner only.
// The file does not shrink: what retention frees is used again.
package sqlite
