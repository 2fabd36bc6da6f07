// Package api serves the HTTP resources of docs/protocol.md, one resource a file.
//
// [Handler] routes the requests. Each handler returns data or an error, and [Answers] writes
// both as JSON. All errors become answers in [Answers.Fail]. The WebSocket at GET /ws is a
// handler of the caller. HTTP needs little of the connections: see [Gateway].
//
// net/http runs one goroutine for each request; the package starts none.
//
// A request that NATS does not answer in time is unavailable, 503, and the client may retry
// it. POST requests with an Idempotency-Key create nothing twice.
package api
