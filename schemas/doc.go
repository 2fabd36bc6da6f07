// Package schemas is the contract: every noun, frame, stored record and error
// code of Roost, and nothing else. It imports the standard library alone, and
// every other package imports it.
//
// A conversation on the WebSocket:
//
//	client                               server
//	hello {token, device_id} ──────────▶
//	                         ◀────────── welcome {device_id, max_in_flight, …}
//	                         ◀────────── receipts {items}             (changes while the device was away)
//	                         ◀────────── incoming_message … × backlog
//	                         ◀────────── inbox_drained {cursor}
//	send_message {content} ────────────▶                              (checked, committed to disk)
//	                         ◀────────── message_received {message_id}
//	                         ◀────────── incoming_message {cursor}
//	message_delivered {message_id} ────▶                              (stored by the device; the server removes it)
//	                         ◀────────── message_delivered {user_id}  (to the sender)
//
// # Files
//
//   - id.go has the ids and their parsers, and error.go the error codes.
//   - frame.go has the frames, message.go and record.go the stored records, http.go the
//     HTTP bodies.
//   - codec.go encodes and decodes all of them. strict.go refuses input that encoding/json
//     would accept: names in another case, names that occur twice, text that is not Unicode.
//   - scan.go with scanned.go decodes, and append.go with appended.go encodes, the frames
//     and records of every message without reflection. codec.go decodes all input that
//     scan.go does not know. Tests compare the two ways.
//   - json/ has the JSON Schemas (2020-12), and testdata/golden an example of each form.
//     Tests compare both with the types.
//
// # Failure
//
// A decoder that refuses input returns an [Error]: a code for programs, a message for
// developers, and the name of the wrong field if one field is wrong. The server sends the
// code and the message to the client.
//
// The package starts no goroutine. Any goroutine may call its functions at any time.
package schemas
