package client

import (
	"time"

	"roost/schemas"
)

// Event is one of the types of this file. Only Message and MessageUpdate want an answer.
type Event interface{ event() }

// Connected comes first on every connection.
type Connected struct{ schemas.Welcome }

// Disconnected says that the connection is lost and that another will be tried.
// Sends wait meanwhile.
type Disconnected struct {
	Err     error
	RetryIn time.Duration
}

// Message is a message of this device's inbox: one that somebody sent to the
// user, or that the user sent from another device. The server repeats it, across
// connections and restarts of the client, until it is acknowledged; one left
// unacknowledged for 30 s ends the connection with 4008.
//
// Where ExpiresAt is set, it disappears then: the application forgets it, and shows it
// no more. One that comes when that time is over is acknowledged all the same.
type Message struct {
	schemas.Message

	client   *Client
	delivery *delivery
}

// Ack says that the application has stored the message; the server forgets it.
// The order in which messages are acknowledged is free. Ack returns when Store
// has it, without waiting for the server; an error is that of Store, or says
// that the client has ended, and means that the message may be shown again.
// Another Ack does nothing but ask a Store that failed once more.
//
// A Message that did not come from Receive, as in a test of the application, is
// acknowledged to nobody.
func (m Message) Ack() error {
	if m.client == nil {
		return nil
	}
	return m.client.acknowledge(m.delivery)
}

// MessageUpdate says that a message of before was changed: edited, deleted for everyone,
// or reacted to, see [schemas.MessageChange]. It has a place in the inbox and wants an
// Ack, as a Message does. TargetMessageID names the message, which this device may never
// have had; [schemas.Fold] applies updates to messages.
type MessageUpdate struct{ Message }

// Drained says that all that waited while the device was away has been shown.
type Drained struct{}

// Delivered says that a device of UserID has a message of this user. It is told of
// the first of their devices, and perhaps of others.
type Delivered struct{ schemas.Delivered }

// Read says that UserID has read a message of this user, and all before it in the
// chat. Where UserID is this user, it was read on another device of theirs.
// GroupID is empty for a chat of two.
type Read struct{ schemas.ReadBy }

// Receipts say what was delivered and read while the device was away. Ids
// compare: one watermark covers all messages before it. An item whose UserID is this
// user says how far they have read a chat on another device.
type Receipts struct{ schemas.Receipts }

// Presence follows SubscribePresence: one for each user, and one at each change.
type Presence struct{ schemas.Presence }

// Typing says that somebody types. Show it for 5 s; nothing says that they stopped.
type Typing struct{ schemas.Typing }

// GroupUpdate says that a group changed. It counts as acknowledged once Receive
// returned it: the group itself can be read again at any time.
type GroupUpdate struct {
	schemas.GroupUpdate

	delivery *delivery
}

// ChatUpdate says that the settings of a chat of two changed. It counts as acknowledged
// once Receive returned it: they can be read again at any time.
type ChatUpdate struct {
	schemas.ChatUpdate

	delivery *delivery
}

// UserDeleted says that a user with whom this one wrote deleted the account: nobody gets
// what is sent there any more. It counts as acknowledged once Receive returned it.
type UserDeleted struct {
	schemas.UserDeleted

	delivery *delivery
}

// WakeUp says that a channel, a group whose members pull, has something new:
// [API.GroupChat] has it. MessageID is the newest message, or an update of an older
// one, which is no message of its own. It may be lost; one follows each Connected.
type WakeUp struct{ schemas.WakeUp }

// ServerError is a complaint of the server that belongs to no send.
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
