// Package gateway serves WebSockets: it accepts connections, runs the session of each device, and
// passes frames to and from package streams. It knows no database. A gateway that dies loses
// connections, and no message.
//
// Its parts: [roost/gateway/auth] verifies tokens and passwords, [roost/gateway/origin] finds
// clients behind proxies and checks the origins of web pages, [roost/gateway/socket] speaks
// RFC 6455, [roost/gateway/api] serves HTTP, [roost/gateway/presence] watches who is online,
// [roost/gateway/wakeups] wakes the members of channels, and [roost/gateway/pages] has what these
// pull.
//
// # Goroutines
//
// A [Server] runs one goroutine each for: the lease (server.go), silent connections (sweep.go),
// the last activity of devices (active.go), read marks (reads.go), the retry queue
// (retry_queue.go), the log of refused sends (refusals.go), presence, and wake-ups.
//
// A connection runs one goroutine that greets the client (hello.go). After that, one reads frames
// and calls their verbs in order (session.go). One writes while frames are queued (outbox.go). An
// idle connection has only the reader. A send that needs a look-up after its commit has a
// goroutine for that (send.go). Commits end on goroutines of package streams, which only queue
// frames. In single-process mode live frames arrive on the goroutine that publishes them.
//
// Each connection waits for its goroutines before it ends. [Server.Drain] waits for all
// connections, and then for the other goroutines.
//
// # Failure
//
// The outbox of a connection is bounded in frames and bytes (outbox.go). An inbox pauses while
// much is unwritten. A client that does not read is closed with 4008, and its entries stay in the
// inbox. While NATS is down, frames are answered with unavailable and connections stay open;
// session clean-up waits in the retry queue. If the gateway cannot renew its lease, other gateways
// show its users as offline.
//
// # The way of a frame
//
//	socket/         reads it, bounded, no faster than the limit on frames; its bytes are valid
//	                until the next frame
//	conn.go         hands text on, and refuses binary frames
//	session.go      decodes it and finds its verb in the dispatch table; answers heartbeat
//	send.go         send_message, update_message: the send record, then the copies, then the answer
//	acknowledge.go  message_delivered and ack: the inbox may remove entries, the sender gets a receipt
//	read.go         message_read: the watermark moves, the sender and the user's devices get a frame
//	typing.go       typing: the receiver's devices get a frame
//	presence.go     presence_subscribe: the users that the connection watches
//
// # Close codes
//
//	1002 not RFC 6455                 4008 did not read or acknowledge in time, or was silent
//	1007 text that is not UTF-8
//	1009 frame over 16 KiB
//	1012 the server restarts, or      4009 no hello in 10 s
//	     could not serve the hello
//	4000 no hello first               4029 too many connections of one user
//	4001 no valid token               4409 a newer connection of the device
//	4003 a device of another user     4410 the device was removed
package gateway
