// Package edge is the way from a TCP port to an HTTP handler. It keeps hostile and
// broken peers from using up the process:
//
//   - The connections of the process and of one address are bounded (listener.go). The
//     bound of the process stays below the limit of open files by a reserve, which the
//     listener never takes: streams and databases need files while clients press in.
//   - Every read and every write has a deadline (server.go).
//   - The client's address comes from the PROXY protocol only if a trusted proxy sends
//     it (proxy.go).
//   - TLS certificates come from files, which are read again after they change, or from
//     an ACME authority (tls.go).
//
// It knows nothing of messages. What an error of HTTP itself looks like is in
// package schemas.
//
// # Goroutines
//
// A [Server] accepts in the goroutine that calls Serve; net/http runs one for each
// connection. A connection over the bound has a goroutine of its own for at most a
// second, until the peer has read the refusal; at most 32 of them exist at a time, and
// [Server.CloseListener] waits for them.
package edge
