// Package wakeups tells the devices of a gateway that a channel has new messages, which they
// then pull.
//
// [Notifier.Committed] takes the news of this gateway and publishes them; the news of other
// gateways arrive through package streams. A burst of messages is one frame for each device.
//
// # Goroutines
//
// The caller runs [Notifier.Run]. It looks up the members of at most 8 channels at a time.
//
// # Failure
//
// News may be lost. After a gap, Run reads the newest entries again. If the members of a
// channel cannot be read, its next message wakes them. A device that connects gets one frame
// for each channel with messages.
package wakeups
