// Package gateway is the clients' side of Roost: WebSockets and HTTP in front,
// streams behind. It keeps nothing that matters: a gateway that dies loses
// connections, and no message. It knows no database.
//
// # Goroutines
//
// A [Server] runs one sweeper, which ends idle connections, one keeper of the
// gateway's lease, one of the last activity of connected devices (active.go), one writer
// of what people have read (reads.go) and one that reads who is online (presences.go).
// It hears of removed devices on a goroutine of package streams (lost.go). A connection
// runs one goroutine that greets, and after it
// one that reads frames and does what they ask for, in order (session.go), and one
// that writes while there is something to be written (conn.go); an idle connection
// has only the reader.
// What the cluster answers to a send comes back on the goroutines of package
// streams, which only ever queue a frame. A send that turns out to be a retry of
// another connection's is looked up in a goroutine of its own (send.go). Each
// connection waits for its goroutines before it ends, and Drain for all
// connections.
//
// What waits to be written to a connection is bounded in frames and bytes (conn.go). An
// inbox delivers no more while much is unwritten, and goes on once the writer made room.
//
// # The way of a frame
//
//	socket/     reads it, bounded, no faster than the limit on frames; its bytes are valid
//	            until the next frame
//	conn.go     hands text on, and refuses binary frames
//	session.go  decodes it and finds its verb in the dispatch table
//	send.go     send_message: SENT_p, then INBOX_p and MESSAGES, then message_received
//	acknowledge.go  message_delivered and ack: the inbox forgets, the sender hears
//	read.go      message_read: the watermark moves, the sender and the reader's devices hear
//	typing.go    typing: the receiver's devices hear
//	presence.go  presence_subscribe: whom the connection looks at
//
// # Close codes
//
//	1002 not RFC 6455                 4008 did not read or acknowledge in time, or was silent
//	1007 text that is not UTF-8
//	1009 frame over 16 KiB
//	1012 the server restarts          4009 no hello in 10 s
//	4000 no hello first               4029 too many connections of one user
//	4001 no valid token               4409 a newer connection of the device
//	4003 a device of another user     4410 the device was removed
//
// Everything else that is wrong with a frame is an error frame, and the
// connection lives.
package gateway
