// Package cursor encodes the position of a device in its inbox. The server gives a
// [schemas.Cursor] to the device with each entry. The device sends it back to acknowledge
// all entries that the server sent up to there, or to resume after them on its next
// connection. A cursor never covers an entry that the server did not send to the device.
//
// It starts no goroutine.
//
// # Failure
//
// A text that [Key.Encode] never wrote is refused with [ErrMalformed]. A cursor for
// another device, or for an earlier stream of the same name, is refused with
// [ErrForeign]: its sequences mean nothing in this inbox.
package cursor
