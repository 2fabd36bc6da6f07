package bus

import (
	"context"

	"roost/schemas"
	"roost/streams/subject"
)

// Bus carries live messages. Methods may be called concurrently.
type Bus interface {
	Devices
	Sessions
	Channels
	Events
	// Close ends the goroutines. Close the watches before.
	Close()
}

// Devices reaches the connections of devices at any gateway. It is no error if a device
// has none. If a message is lost, the connection reads the stream.
type Devices interface {
	// PublishEntry delivers an inbox entry that was committed with that sequence. The entry
	// is not changed any more.
	PublishEntry(a subject.Address, seq uint64, entry []byte)
	// PublishFrame delivers a ready frame, which is not changed any more.
	PublishFrame(a subject.Address, frame []byte)
	// PublishReplaced notifies older connections of a device that session took over.
	PublishReplaced(a subject.Address, session schemas.SessionID)
	// PublishRemoved notifies the connections of a device that the device was removed.
	PublishRemoved(a subject.Address)
	// Subscribe calls a listener until leave. A call in progress may still finish after
	// leave. Read the stream after Subscribe: a message may be lost until it returns.
	Subscribe(a subject.Address, to Listener) (leave func(), err error)
}

// Listener is one connection of a device. Its methods may be called concurrently and must
// not block.
type Listener interface {
	Entry(seq uint64, entry []byte)
	Frame(frame []byte)
	Replaced(by schemas.SessionID)
	Removed()
	Gap() // messages for the device may be lost
}

// Sessions publishes the begins and ends of sessions.
type Sessions interface {
	PublishSession(e schemas.SessionEvent)
	// WatchSessions calls a listener for the sessions of the users that are added to the
	// watch. A process has one watch at a time.
	WatchSessions(to SessionListener) SessionWatch
}

// SessionListener receives sessions of watched users. Its methods may be called
// concurrently and must not block.
type SessionListener interface {
	Session(e schemas.SessionEvent)
	Gap() // events may be lost
}

// SessionWatch is the set of users whose sessions a listener receives.
type SessionWatch interface {
	// Add watches a user. Call Settle before reading the sessions of the user.
	Add(u schemas.UserID) error
	// Settle returns once the server knows of all users added before.
	Settle(ctx context.Context) error
	// Remove ends watching a user.
	Remove(u schemas.UserID)
	// Close ends the watch. A call to the listener in progress may still finish.
	Close()
}

// Channels publishes new entries of channels.
type Channels interface {
	// PublishChannelNews publishes news to all gateways, this one included.
	PublishChannelNews(n ChannelNews)
	// WatchChannels calls a listener until stop. A process has one at a time. A call to
	// the listener in progress may still finish after stop.
	WatchChannels(to ChannelListener) (stop func(), err error)
}

// ChannelListener receives news of new entries of all channels. Its methods may be
// called concurrently and must not block.
type ChannelListener interface {
	News(n ChannelNews)
	Gap() // news may be lost
}

// ChannelNews says that a channel has a new entry.
type ChannelNews struct {
	Group     schemas.GroupID
	MessageID schemas.MessageID
	Sequence  uint64            // in CHANNELS
	Changed   schemas.MessageID // the last change of the group at the time of the send; empty if unknown
}

// Events publishes events for other services.
type Events interface {
	// PublishDelivered reports that a device of reader has a message.
	PublishDelivered(reader schemas.UserID, frame []byte)
	// PublishRead reports that reader has read a message.
	PublishRead(reader schemas.UserID, frame []byte)
	// PublishGroupChange reports a change of a group.
	PublishGroupChange(g schemas.GroupID, update []byte)
}
