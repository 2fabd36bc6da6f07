// Package client speaks to a Roost server: API for plain HTTP, Client for the
// WebSocket. Of Roost it imports schemas alone.
//
// A Client is one device. It connects again by itself, sends again under the
// same number what the server has not answered, and shows no message twice. The
// application has three duties: to Receive all the time, to Ack each message
// once it has stored it, and to Close.
//
//	Send ──▶ outbox ──▶ writer ──▶ socket ──▶ reader ──▶ queue ──▶ Receive
//	            ▲                                │                    │
//	            └──────── message_received ──────┘        inbox ◀── Ack
//
// # Goroutines
//
// Connect starts one, run, which lives until the Client ends: it dials, says
// hello, and waits out the back-off. For each connection it starts three and
// waits for them: the reader, the only one that reads the socket; the writer,
// the only one that writes frames; and the pulse, which pings. Close ends run
// and returns when all are gone. No call of the application starts another.
//
// outbox and inbox, the sends that wait for an answer and the messages that
// wait for an Ack, are guarded by Client.mu. The writer takes from both; it is
// woken, not fed, so that nothing is queued twice and a new connection finds
// everything that the old one left.
//
// # Failure
//
// A connection that ends is replaced after a back-off with full jitter, or when
// a reconnect frame said so. What the server closed with one of the codes that
// forbid it, see [schemas.CloseCode.Retryable], ends the Client: Receive, Send
// and the others return a [CloseError] from then on.
//
// Nothing acknowledged to the server is lost, and nothing is acknowledged that
// the application has not acknowledged: resume_after is the cursor of the last
// message before the first one without Ack. An application that does not Receive
// fills the queue; the reader then leaves the socket unread, the server closes
// it with 4008, and the Client connects again when there is room. What was on
// the way comes again.
//
// A send that was written and not answered has an unknown outcome. It stays
// outstanding, and is asked again on every connection, until the server settles
// it: see [UnknownOutcomeError].
//
// What must survive the process is kept in a [Store]. Without one, a message
// acknowledged just before a crash may be shown again, and a send without
// answer is forgotten.
package client
