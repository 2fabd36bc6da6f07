// Package receipts keeps the watermarks of delivered and read messages in bucket
// RECEIPTS, and the read marks of users: one key for each pair of sender and reader, of
// group and member, or of reader and chat. They only grow.
//
// It starts no goroutine. Any goroutine may call [Receipts].
//
// # Failure
//
// Devices of one reader on several gateways advance the same watermark. So each advance
// is a compare-and-set against the revision that this process saw last. If another
// process was faster, the advance reads the new revision and tries again. An advance that
// returned nil is durable. After an error it may be durable, and the caller may repeat it.
package receipts
