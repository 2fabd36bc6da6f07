// Package channel stores the messages of channels: groups whose members pull. A message
// is one entry of stream CHANNELS, and is in no inbox. Updates have subjects of their
// own, by kind and message. So a thousand reactions evict no message, and the updates of
// a message are found without reading the rest.
//
// It starts no goroutine. [Channels.Watch] uses one of package bus.
//
// # Failure
//
// No copy replaces the record of a send, so Commit waits for the record first: a retry
// would store a message without a record twice. A read that fails returns an error; a
// channel that was never used has no entries. Of more than [MaxEntries] messages the
// stream keeps the newest.
package channel
