package inbox

import (
	"context"

	"roost/schemas"
)

// Consumer is one device's consumer. It delivers the entries of INBOX_p for the device to
// a [Sink], at least once and in inbox order, with at most schemas.MaxInFlight
// unacknowledged, and removes acknowledged entries from the stream. Methods may be called
// concurrently.
type Consumer interface {
	// Start begins delivery: first the backlog, then new entries. It may return only after
	// the first read of the backlog. Call it once.
	Start()

	// Acknowledge notes that the device has stored one message.
	//
	//  1. The entry, if this is its first acknowledgement.
	//  2. Nothing, if it was acknowledged before or is not in flight.
	Acknowledge(id schemas.MessageID) []schemas.EntryHead

	// AcknowledgeUpTo notes that the device has stored all entries up to a cursor. It
	// returns the entries whose first acknowledgement this is, or cursor.ErrMalformed or
	// cursor.ErrForeign.
	AcknowledgeUpTo(c schemas.Cursor) ([]schemas.EntryHead, error)

	// Find looks for a message among the entries that were delivered to the device and not
	// removed yet, acknowledged or not.
	Find(id schemas.MessageID) (schemas.EntryHead, bool)

	// Continue resumes delivery after Sink.Room returned false and the Sink has room again.
	// It does not block.
	Continue()

	// Close stops delivery, removes the acknowledged entries before the first
	// unacknowledged one as far as ctx allows, and waits. Entries that are left are
	// redelivered to the next connection, unless it resumes with a cursor after them.
	Close(ctx context.Context)
}

// Sink is the connection that a Consumer delivers to. Its methods are called one at a time,
// in the order in which the device shall get the frames, and must not block.
type Sink interface {
	// Room says whether Deliver may be called, so that a connection that does not read
	// does not fill memory. After false the Sink calls Continue when it has room.
	Room() bool
	// Deliver takes one inbox entry and the position after it.
	Deliver(entry []byte, c schemas.Cursor)
	// Drained tells, once, that the whole backlog was delivered.
	Drained(c schemas.Cursor)
	// Frame takes a server frame that is no inbox entry.
	Frame(frame []byte)
	// End asks the connection to close. The Consumer delivers nothing more.
	End(reason EndReason)
}

// EndReason is why a Consumer ended its connection.
type EndReason int

// Values of EndReason.
const (
	EndReplaced EndReason = iota + 1 // the device has a newer connection
	EndRemoved                       // the device was removed
	EndSlow                          // a message stayed unacknowledged for too long
)

// Kind is a kind of [Consumer].
type Kind string

// Values of Kind.
const (
	// Direct reads with Direct Get and gets new entries live. Its cost does not grow with
	// the number of connected devices.
	Direct Kind = "direct"
	// JetStream has a pull consumer in JetStream for each connected device. It is for small
	// installations that want to see devices in `nats consumer ls`.
	JetStream Kind = "jetstream"
)
