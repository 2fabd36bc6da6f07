// Package gateway is the part of Roost that clients connect to. It serves WebSockets and HTTP,
// and reads and writes the streams of package streams. All that must survive is in the streams:
// if a gateway dies, its clients lose their connections, and no accepted message is lost. The
// package knows no database.
//
// # Use
//
// [New] makes a [Server]. Start starts it, and may be called once. After that the handler serves
// requests on the goroutines of net/http. At the end the caller closes the listener and then
// calls Drain, which returns after all goroutines of the Server have ended.
//
// # Goroutines
//
// A [Server] runs one goroutine for each of these tasks until Drain:
//
//   - close connections that are silent for too long (server.go),
//   - write daily that connected devices are in use (active.go),
//   - renew the lease of the gateway (server.go),
//   - write the read marks that connections collected (reads.go),
//   - retry clean-up that failed at the end of a session or a hello (later.go),
//   - log refused sends, one line a second (refusals.go),
//   - show changes of presence (package presence),
//   - send wake_up to members of channels.
//
// The first two end with the connections, and the others after them. So the end of each session
// is on record before the gateway gives up its lease.
//
// A connection runs one goroutine at a time that reads: first the greeter, which reads hello, and
// then the reader, which handles each frame in order (conn.go, session.go). A writer runs only
// while frames are queued. An idle connection has only the reader. A send that must look up
// records, for example a retry, does so in a goroutine of its own (send.go). Outcomes of commits,
// live messages and notices of removed devices arrive on goroutines of package streams. Their
// handlers queue frames and do not block. A connection waits for its goroutines before it ends,
// and Drain waits for all connections.
//
// # Failure
//
// A frame that is wrong gets an error frame, and the connection goes on, unless the table below
// has a code for it. If NATS does not answer, the error is unavailable, and the client retries.
//
// The queue of frames for a connection is bounded in frames and in bytes (conn.go). While much of
// it is unwritten, the inbox delivers nothing more. If the queue exceeds its bound, or if a write
// takes too long, the server closes the connection.
//
// # The way of a frame
//
//	socket/         reads the frame, at most 16 KiB, no faster than the limit on frames; the bytes
//	                are valid until the next frame
//	conn.go         passes text to the session, and refuses binary frames
//	session.go      decodes the frame and finds its verb in the dispatch table
//	send.go         send_message: commits the send record and the copies, then message_received
//	acknowledge.go  message_delivered and ack: the inbox removes entries, the sender gets a receipt
//	read.go         message_read: advances the watermark; the sender and the reader's other
//	                devices get a frame
//	typing.go       typing: the receiver's devices get a frame
//	presence.go     presence_subscribe: sets the users that the connection watches
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
