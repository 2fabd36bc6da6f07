// Package bus carries what is worth nothing a moment later: copies of entries and frames
// to connected devices, begins and ends of sessions, news of channels, and events for
// other services. There are two implementations of [Bus]: [NewNATS] between the gateways
// of a cluster, on core NATS, and [NewLocal] within the only process. Package streams
// chooses one when it opens.
//
// # Goroutines
//
// A [Dispatcher] runs one goroutine. A NATS bus has one for all devices, one while
// sessions are watched and one while channels are. A local bus has none: the publisher
// calls the listeners.
//
// # Failure
//
// Core NATS delivers at most once. When messages may be lost, because a queue was full or
// the connection was away, the listeners are told of a gap and read the streams.
// [NATS.SlowConsumer] and [NATS.Reconnected] are for the handlers of the connection. A
// local bus loses nothing, but tells of a gap after the process lost its server.
package bus
