// Package edge leads from a TCP port to an HTTP handler. It protects the process from
// hostile and broken peers:
//
//   - It bounds the connections of the process and of each address (listener.go). The
//     caller sets the bound of the process below the limit of open files, because streams
//     and databases need files too.
//   - Every read and every write has a deadline (server.go).
//   - It takes the client's address from a PROXY header only if a trusted proxy sent the
//     header (conn.go).
//   - It loads TLS certificates from files and reloads them after they change, or gets
//     them from an ACME authority (tls.go).
//
// The package knows nothing of messages. It answers errors of HTTP itself in the form
// that package schemas defines (refuse.go).
//
// # Goroutines
//
// A [Server] accepts connections in the goroutine that calls Serve. net/http runs one
// goroutine per connection. A refused connection keeps a goroutine until the peer has read
// the answer, at most one second. At most 32 of these exist at a time, and
// [Server.CloseListener] waits for them.
//
// # Failure
//
// After a temporary error of Accept, for example if no file descriptor is free, the server
// logs a warning, counts the error and retries. If changed certificate files cannot be read
// or do not match, it logs a warning and keeps the old certificate.
package edge
