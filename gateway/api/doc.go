// Package api serves the HTTP resources of docs/protocol.md, one resource a file.
//
// [Handler] routes the requests. Each handler returns data or an error, and [Answers] writes
// both as JSON. [Answers.Fail] turns every error into an answer. The caller provides the handler
// of the WebSocket at GET /ws, and a [Gateway], through which requests reach the connections.
//
// # Goroutines
//
// net/http runs one goroutine for each request. The package starts none.
//
// # Failure
//
// If NATS does not answer in time, the answer is unavailable, 503, and the client may retry the
// request. POST requests with an Idempotency-Key create nothing twice.
package api
