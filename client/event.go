package client

import (
	"time"

	"roost/schemas"
)

// Event is one of the types of this file. Only Message and MessageUpdate need an Ack.
type Event interface{ event() }

// Connected is the first event of every connection.
type Connected struct{ schemas.Welcome }

// Disconnected means that the connection is lost and that the client will connect again.
// Sends wait for the next connection.
type Disconnected struct {
	Err     error
	RetryIn time.Duration
}

// Message is a message from this device's inbox. Another user sent it to this user, or this
// user sent it from another device. The server redelivers it, across connections and
// restarts of the client, until it is acknowledged. If a message stays unacknowledged for
// 30 s, the server closes the connection with 4008.
//
// If ExpiresAt is set, the message disappears at that time: the application deletes it and
// stops showing it. A message that arrives later than that also needs an Ack.
type Message struct {
	schemas.Message

	client   *Client
	delivery *delivery
}

// Ack acknowledges the message after the application has stored it. Then the server removes
// it from the inbox. Messages may be acknowledged in any order. Ack returns after the Store
// has saved it, and does not wait for the server. An error means that the Store failed or
// that the client has ended, and that the client may show the message again. Another Ack
// only retries a save that failed.
//
// If the Message did not come from Receive, as in a test of the application, Ack does
// nothing.
func (m Message) Ack() error {
	if m.client == nil {
		return nil
	}
	return m.client.acknowledge(m.delivery)
}

// MessageUpdate is an edit of an earlier message, its deletion for everyone, or a reaction to
// it, see [schemas.MessageChange]. It is an entry of the inbox and needs an Ack, like a
// Message. TargetMessageID names the message, which this device may never have received.
// [schemas.Fold] applies updates to messages.
type MessageUpdate struct{ Message }

// Drained means that Receive has returned the whole backlog of the inbox.
type Drained struct{}

// Delivered means that a device of UserID has acknowledged a message of this user. The server
// sends it for the first of these devices, and may send it for others.
type Delivered struct{ schemas.Delivered }

// Read means that UserID has read a message of this user, and all earlier ones of the chat.
// If UserID is this user, another device of this user has read it. GroupID is empty in a 1:1
// chat.
type Read struct{ schemas.ReadBy }

// Receipts are the receipts from the time without a connection. Each watermark covers all
// messages with smaller or equal ids. If the UserID of an item is this user, another device
// of this user has read the chat up to there.
type Receipts struct{ schemas.Receipts }

// Presence follows SubscribePresence: one for each user, and one after each change.
type Presence struct{ schemas.Presence }

// Typing means that a user is typing. Show it for 5 s; there is no event for the end.
type Typing struct{ schemas.Typing }

// GroupUpdate means that a group changed. Receive acknowledges it, because the application
// can read the group at any time.
type GroupUpdate struct {
	schemas.GroupUpdate

	delivery *delivery
}

// ChatUpdate means that the settings of a 1:1 chat changed. Receive acknowledges it, because
// the application can read the settings at any time.
type ChatUpdate struct {
	schemas.ChatUpdate

	delivery *delivery
}

// UserDeleted means that a user of a 1:1 chat with this user deleted the account. The server
// delivers no messages to that user any more. Receive acknowledges it.
type UserDeleted struct {
	schemas.UserDeleted

	delivery *delivery
}

// WakeUp means that a channel, a group whose members pull, has a new message or update. Read
// it with [API.GroupChat]. MessageID is the id of the newest message or update. A WakeUp may
// be lost; the server sends one after each Connected.
type WakeUp struct{ schemas.WakeUp }

// ServerError is an error frame of the server that answers no send.
type ServerError struct{ Err *schemas.Error }

func (Connected) event()     {}
func (Disconnected) event()  {}
func (Message) event()       {}
func (MessageUpdate) event() {}
func (Drained) event()       {}
func (Delivered) event()     {}
func (Read) event()          {}
func (Receipts) event()      {}
func (Presence) event()      {}
func (Typing) event()        {}
func (GroupUpdate) event()   {}
func (ChatUpdate) event()    {}
func (UserDeleted) event()   {}
func (WakeUp) event()        {}
func (ServerError) event()   {}
