// Package schemas is the contract: every noun, frame, stored record and error
// code of Roost, and nothing else. It imports the standard library alone, and
// every other package imports it.
//
// A conversation on the WebSocket:
//
//	client                               server
//	hello {token, device_id} ──────────▶
//	                         ◀────────── welcome {device_id, max_in_flight, …}
//	                         ◀────────── receipts {items}             (what changed while away)
//	                         ◀────────── incoming_message … × backlog
//	                         ◀────────── inbox_drained {cursor}
//	send_message {content} ────────────▶                              (checked, committed to disk)
//	                         ◀────────── message_received {message_id}
//	                         ◀────────── incoming_message {cursor}
//	message_delivered {message_id} ────▶                              (stored by the device; the server forgets it)
//	                         ◀────────── message_delivered {user_id}  (to the sender)
//
// Files: id.go holds the names and their parsers, frame.go the frames, codec.go
// the encoder and decoder of all of them, members.go what encoding/json would let
// through, message.go and record.go what is stored, http.go the HTTP bodies,
// error.go the codes. scan.go with scanned.go and append.go with appended.go are
// a short cut through codec.go, without reflection, for what every message needs:
// what scan.go does not know goes the long way, and tests hold both ways to the
// same bytes and values. The JSON Schemas (2020-12) are in json/, golden examples
// in testdata/golden; tests hold them and the types together.
//
// The package starts no goroutine and keeps no state; everything in it may be
// used concurrently.
package schemas
