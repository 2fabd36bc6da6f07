// Package channel stores the messages of channels: groups whose members pull. A message
// is one entry of stream CHANNELS, and in nobody's inbox. Updates have subjects of their
// own, by kind and message: so a thousand reactions push no message out, and the updates
// of a message are found without a look at the rest.
//
// It starts no goroutine. [Channels.Watch] uses one of package bus.
//
// # Failure
//
// No copy stands for the record of a send, so Commit waits for the record first: a
// message without one would be stored twice by a retry. A read that fails returns an
// error; a channel that was never used has no entries. Of more than [MaxEntries] messages
// the stream keeps the newest.
package channel
