// Package bus carries live messages, which are never stored: entries and frames to connected
// devices, the start and end of sessions, news of channels, and events for other services.
// [NewNATS] makes the [Bus] between the gateways of a cluster, on core NATS. [NewLocal] makes
// the Bus of single-process mode. Package streams chooses one when it opens.
//
// # Goroutines
//
// A [Dispatcher] runs one goroutine. A NATS bus has one Dispatcher for all devices, one while
// sessions are watched, and one while channels are watched. A local bus starts no goroutine:
// the publisher calls the listeners. So listeners must not block.
//
// # Failure
//
// Core NATS delivers a message at most once. If messages may be lost, because a queue was full
// or the connection was lost, the bus calls Gap of the listeners, which then read the streams.
// The caller must call [NATS.SlowConsumer] and [NATS.Reconnected] from the handlers of its
// connection. A local bus loses no message. It calls Gap after the process had lost its
// embedded server.
package bus
