// Package client talks to a Roost server: API uses HTTP, and Client uses the WebSocket.
// It imports only package schemas of this repository.
//
// A Client is one device. It reconnects by itself, retries unanswered sends under the same
// number, and shows no message twice. The application must call Receive all the time, Ack
// each message after it has stored it, and Close the Client at the end.
//
//	Send ──▶ outbox ──▶ writer ──▶ socket ──▶ reader ──▶ queue ──▶ Receive
//	            ▲                                │                    │
//	            └──────── message_received ──────┘        inbox ◀── Ack
//
// # Goroutines
//
// Connect starts one goroutine, the runner, which lives until the Client ends. It dials,
// sends hello, and waits for the back-off. For each connection it starts three goroutines
// and waits for them: the reader reads the socket, the writer writes all frames, and the
// pulse sends pings. Close stops the runner and returns after all goroutines have ended.
// No other method starts a goroutine.
//
// The outbox holds the unanswered sends, and the inbox holds the messages without Ack.
// Client.mu guards both. The writer collects its frames from them after each wake-up. So
// no frame is queued twice, and a new connection finds everything that the old one left.
//
// # Failure
//
// After a connection ends, the Client reconnects after a back-off with full jitter, or at
// the time that a reconnect frame named. If the server closes it with a code that is not
// [schemas.CloseCode.Retryable], the Client ends: Receive, Send and the others return a
// [CloseError] from then on.
//
// The Client acknowledges only what the application has acknowledged: resume_after is the
// cursor of the last message before the first one without Ack. If the application does not
// call Receive, the queue of events fills, and the reader stops reading the socket. Then
// the server closes the connection with 4008. The Client reconnects after the queue has
// room, and the server redelivers what was in flight.
//
// A send that was written but not answered has an unknown outcome. It stays outstanding,
// and the Client retries it on every connection until the server answers: see
// [UnknownOutcomeError].
//
// A [Store] keeps the state that must survive the process. Without a Store, the Client may
// show a message again that was acknowledged just before a crash, and it loses the
// unanswered sends.
package client
