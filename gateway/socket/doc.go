// Package socket is the server's side of WebSockets, RFC 6455.
//
// [CheckHandshake] and [Upgrade] turn an HTTP request into a connection. A [Socket] reads
// whole messages from it, bounded and no faster than a limit, and writes batches of messages.
//
// The package starts no goroutine. One goroutine of the caller reads; any may write. A client
// that violates the protocol gets a close frame, and [Socket.Read] returns an error. A write
// has [WriteTimeout].
package socket
