// Package inbox delivers the entries of INBOX_p to connected devices, and removes them after
// the device has acknowledged them. A gateway starts [Consumers] once, and opens one
// [Consumer] for each connection of a device.
//
// There are two kinds of Consumer. [Direct] reads with Direct Get and gets new entries live.
// [JetStream] has a pull consumer in JetStream. A kind decides where entries come from
// (direct.go; jetstream.go, pull.go). Both pass the same contract suite, and know nothing of
// each other. What both need is in deviceConsumer (device.go): the window of entries that
// were delivered and not removed, cursors, and removal. The state of a Consumer is an enum
// that only moves forward (lifetime.go).
//
// # Removal
//
// A Consumer removes the acknowledged entries at the front of its window, up to the position
// that it has seen in the stream. A remover for each stream works in rounds: it verifies up
// to 64 inboxes, advances the watermarks of the senders, waits for the send records, and then
// removes the entries (remover.go). A recorder keeps the acknowledgements of entries that are
// not removed yet in bucket ACKS (acks.go).
//
// # Goroutines
//
// Consumers run these until Close, which waits for them:
//
//   - one sweeper for all devices. Each second it ends connections that do not acknowledge,
//     retries failed reads, asks for removal, and looks for entries whose live copy was lost,
//   - one remover for each stream, with up to Options.RemovalWorkers workers if inboxes are overdue,
//   - one recorder of acknowledgements,
//   - with JetStream consumers, one dispatcher of pulled entries.
//
// A Consumer reads the stream, or replaces its consumer in JetStream, in a goroutine of its
// own. Consumer.Close waits for it. An idle Consumer has none.
//
// # Failure
//
// Delivery is at least once. An entry leaves the stream only after it was seen there,
// delivered, acknowledged, and after its send record and the sender's watermark are durable.
// A failed read or removal is retried; the entries stay meanwhile. After a crash of the
// gateway a device gets at most the entries again that it acknowledged in the last half
// second.
package inbox
