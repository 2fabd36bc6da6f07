package schemas

// Limits of the wire.
const (
	MaxFrameBytes     = 16 << 10 // one WebSocket text frame
	MaxContentRunes   = 1000     // Unicode code points of a message's content
	MaxInFlight       = 256      // unacknowledged messages on the wire, a device
	MaxOutstanding    = 64       // sends waiting for message_received, a device
	MaxPresenceUsers  = 500      // ids in one presence_subscribe
	MaxDeviceNameByte = 128      // bytes of a device's name
	MaxReceiptItems   = 100      // items in one receipts frame
	MaxReceiptMembers = 64       // members of a group in which receipts and typing are shown live
	MaxReceiptGroups  = 50       // groups of which a device that connects is shown receipts
	MaxReactionRunes  = 32       // Unicode code points of a reaction
	MaxWakeUps        = 50       // channels of which a device that connects is told
)

// MaxNumber is the largest number that a client may send, 2^53-1: programs that hold
// numbers in floating point, JavaScript above all, take larger neighbours for equal,
// and a deduplication by such a number drops messages.
const MaxNumber = 1<<53 - 1

// FrameType names a frame. The server always sends "type"; it accepts "action"
// as well.
type FrameType string

// Frames that clients send.
const (
	TypeHello             FrameType = "hello"
	TypeSendMessage       FrameType = "send_message"
	TypeUpdateMessage     FrameType = "update_message"
	TypeAck               FrameType = "ack"
	TypePresenceSubscribe FrameType = "presence_subscribe"
	TypeHeartbeat         FrameType = "heartbeat"
)

// Frames that both sides send, with other fields each way.
const (
	TypeMessageDelivered FrameType = "message_delivered"
	TypeMessageRead      FrameType = "message_read"
	TypeTyping           FrameType = "typing"
)

// Frames that the server sends.
const (
	TypeWelcome         FrameType = "welcome"
	TypeMessageReceived FrameType = "message_received"
	TypeIncomingMessage FrameType = "incoming_message"
	TypeMessageUpdate   FrameType = "message_update"
	TypeInboxDrained    FrameType = "inbox_drained"
	TypeReceipts        FrameType = "receipts"
	TypePresence        FrameType = "presence"
	TypeGroupUpdate     FrameType = "group_update"
	TypeChatUpdate      FrameType = "chat_update"
	TypeUserDeleted     FrameType = "user_deleted"
	TypeWakeUp          FrameType = "wake_up"
	TypeError           FrameType = "error"
	TypeReconnect       FrameType = "reconnect"
)

// ClientFrame is one of the frames that a client sends: *Hello, *SendMessage,
// *UpdateMessage, *DeliveredAck, *Ack, *Read, *TypingNotice, *PresenceSubscribe or *Heartbeat.
type ClientFrame interface {
	Type() FrameType
	// validate checks presence, form and length of every field, and puts ids
	// into their canonical form. It reports the first field that is wrong.
	validate() *Error
}

// Send is a frame that asks for something to be committed and delivered, and is
// answered by its number: *SendMessage or *UpdateMessage.
type Send interface {
	ClientFrame
	// Draft is the message that is asked for, without what the server adds.
	Draft() Message
}

// Draft implements [Send]. The client's timestamp is no part of it.
func (f *SendMessage) Draft() Message {
	return Message{ReceiverID: f.ReceiverID, GroupID: f.GroupID, Content: f.Content, ReplyTo: f.ReplyTo,
		MessageIDByClient: f.MessageIDByClient}
}

// Draft implements [Send]. The client's timestamp is no part of it.
func (f *UpdateMessage) Draft() Message {
	return Message{ReceiverID: f.ReceiverID, GroupID: f.GroupID, Content: f.Content, MessageIDByClient: f.MessageIDByClient,
		Change: f.Change, TargetMessageID: f.TargetMessageID}
}

// ServerFrame is one of the frames that the server sends: *Welcome,
// *MessageReceived, *Incoming, *MessageUpdate, *InboxDrained, *Delivered, *ReadBy,
// *Receipts, *Presence, *Typing, *GroupUpdate, *ChatUpdate, *UserDeleted, *WakeUp, *Alive,
// *ErrorFrame or *Reconnect.
type ServerFrame interface {
	Type() FrameType
	server()
}

// Hello is the first frame of a connection, due within 10 s.
type Hello struct {
	Token       string   `json:"token,omitempty"`        // unless the HTTP request carried the Bearer header
	DeviceID    DeviceID `json:"device_id,omitempty"`    // this or
	DeviceName  string   `json:"device_name,omitempty"`  // this, which registers a device
	ResumeAfter Cursor   `json:"resume_after,omitempty"` // "I have everything up to here"
}

// SendMessage asks for a message to be committed and delivered.
type SendMessage struct {
	ReceiverID        UserID          `json:"receiver_id,omitempty"` // this or
	GroupID           GroupID         `json:"group_id,omitempty"`    // this
	Content           string          `json:"content"`               // 1 to MaxContentRunes code points
	MessageIDByClient ClientMessageID `json:"message_id_by_client"`
	Timestamp         Timestamp       `json:"timestamp,omitempty"` // the sender's clock; not kept, the message gets the server's
	ReplyTo           MessageID       `json:"reply_to,omitempty"`
}

// UpdateMessage asks for a change of a message that was sent before: an update, which
// is committed and delivered as a message is.
type UpdateMessage struct {
	ReceiverID        UserID          `json:"receiver_id,omitempty"` // this or
	GroupID           GroupID         `json:"group_id,omitempty"`    // this: the chat of the message
	TargetMessageID   MessageID       `json:"target_message_id"`     // the message
	Change            MessageChange   `json:"change"`
	Content           string          `json:"content,omitempty"` // see [MessageChange]
	MessageIDByClient ClientMessageID `json:"message_id_by_client"`
	Timestamp         Timestamp       `json:"timestamp,omitempty"` // the sender's clock; not kept, the update gets the server's
}

// DeliveredAck says that the device has stored one message.
type DeliveredAck struct {
	MessageID MessageID `json:"message_id"`
	Timestamp Timestamp `json:"timestamp,omitempty"` // the device's clock; not kept
}

// Ack says that the device has stored everything sent to it up to Cursor.
type Ack struct {
	Cursor Cursor `json:"cursor"`
}

// Read says that the person has read the message, and all before it in the chat.
type Read struct {
	MessageID MessageID `json:"message_id"`
	SenderID  UserID    `json:"sender_id,omitempty"` // who sent it; the server has forgotten older messages
	GroupID   GroupID   `json:"group_id,omitempty"`  // for a message of a group
}

// TypingNotice says that the person types.
type TypingNotice struct {
	ReceiverID UserID  `json:"receiver_id,omitempty"` // this or
	GroupID    GroupID `json:"group_id,omitempty"`    // this
}

// PresenceSubscribe replaces the list of people whose presence is reported, or adds to it:
// a list of MaxPresenceUsers long ids does not fit into one frame.
type PresenceSubscribe struct {
	UserIDs []UserID `json:"user_ids"`      // the whole list has at most MaxPresenceUsers
	Add     bool     `json:"add,omitempty"` // to the list as it is
}

// Heartbeat is a sign of life of the client. The server answers it with [Alive].
type Heartbeat struct{}

// Welcome answers hello.
type Welcome struct {
	UserID                UserID          `json:"user_id"`
	DeviceID              DeviceID        `json:"device_id"`
	SessionID             SessionID       `json:"session_id"`
	ServerTime            Timestamp       `json:"server_time"`
	HeartbeatMS           int64           `json:"heartbeat_ms"` // send something at least this often
	MaxInFlight           int             `json:"max_in_flight"`
	MaxOutstandingSends   int             `json:"max_outstanding_sends"`
	LastMessageIDByClient ClientMessageID `json:"last_message_id_by_client"` // 0: none yet
}

// MessageReceived tells the sender that the message is durable for every device
// it is meant for.
type MessageReceived struct {
	MessageID         MessageID       `json:"message_id"`
	MessageIDByClient ClientMessageID `json:"message_id_by_client"`
	Timestamp         Timestamp       `json:"timestamp"`
	ExpiresAt         Timestamp       `json:"expires_at,omitempty"` // when the message disappears, if at all
}

// Incoming is a message of the device's inbox. See [Message.StoredMessage] for the
// bytes it is cut from.
type Incoming struct {
	Message
	Cursor Cursor `json:"cursor"`
}

// MessageUpdate is the change of a message that was sent before: an entry of the
// device's inbox whose Message is an update.
type MessageUpdate struct{ Incoming }

// InboxDrained says that all that waited has been sent; what follows is live.
type InboxDrained struct {
	Cursor Cursor `json:"cursor"`
}

// Delivered tells the sender that a device of UserID has the message.
type Delivered struct {
	MessageID MessageID `json:"message_id"`
	UserID    UserID    `json:"user_id"`
	GroupID   GroupID   `json:"group_id,omitempty"` // of a message to a group
	Timestamp Timestamp `json:"timestamp"`
}

// ReadBy tells the sender, and UserID's other devices, that UserID has read the
// message.
type ReadBy struct {
	MessageID MessageID `json:"message_id"`
	UserID    UserID    `json:"user_id"`
	GroupID   GroupID   `json:"group_id,omitempty"` // of a message of a group
	Timestamp Timestamp `json:"timestamp"`
}

// Receipts says what changed while the device was away.
type Receipts struct {
	Items []ReceiptItem `json:"items"` // at most MaxReceiptItems a frame
}

// ReceiptItem is one watermark: UserID has got, and read, the messages of this
// chat up to these ids. Where UserID is the one who is told, they have read them on
// another device.
type ReceiptItem struct {
	Chat          string    `json:"chat"` // the chat participant as the one who is told names it
	UserID        UserID    `json:"user_id"`
	DeliveredUpTo MessageID `json:"delivered_up_to,omitempty"`
	ReadUpTo      MessageID `json:"read_up_to,omitempty"`
}

// Presence reports one person.
type Presence struct {
	UserID         UserID    `json:"user_id"`
	Online         bool      `json:"online"`
	LastActiveTime Timestamp `json:"last_active_time,omitempty"`
}

// Typing reports that somebody types.
type Typing struct {
	UserID  UserID  `json:"user_id"`
	GroupID GroupID `json:"group_id,omitempty"`
}

// GroupUpdate reports a change of a group: an entry of the device's inbox, as a
// message is.
type GroupUpdate struct {
	GroupChange
	Cursor Cursor `json:"cursor"`
}

// ChatUpdate reports a change of the settings of a chat of two: an entry of the
// device's inbox, as a message is.
type ChatUpdate struct {
	ChatChange
	Cursor Cursor `json:"cursor"`
}

// UserDeleted reports that an account was deleted, to the users who wrote with it: an
// entry of the device's inbox, as a message is.
type UserDeleted struct {
	UserDeletion
	Cursor Cursor `json:"cursor"`
}

// WakeUp says that a channel, a group whose members pull its messages, has a new
// one. It is no entry of the inbox and may be lost.
type WakeUp struct {
	GroupID   GroupID   `json:"group_id"`
	MessageID MessageID `json:"message_id"` // the newest one, or an update of an older one
}

// Alive answers a [Heartbeat]: the connection is not dead. Its type is heartbeat too.
type Alive struct{}

// ErrorFrame reports what was wrong with a frame; the socket lives.
type ErrorFrame struct {
	Code              Code            `json:"code"`
	Message           string          `json:"message"`
	MessageIDByClient ClientMessageID `json:"message_id_by_client,omitempty"`
	RetryAfterMS      int64           `json:"retry_after_ms,omitempty"`
}

// Reconnect says that the server is about to close the connection.
type Reconnect struct {
	AfterMS int64 `json:"after_ms"` // jittered per connection
}

// Type of each frame.
func (*Hello) Type() FrameType             { return TypeHello }
func (*SendMessage) Type() FrameType       { return TypeSendMessage }
func (*UpdateMessage) Type() FrameType     { return TypeUpdateMessage }
func (*DeliveredAck) Type() FrameType      { return TypeMessageDelivered }
func (*Ack) Type() FrameType               { return TypeAck }
func (*Read) Type() FrameType              { return TypeMessageRead }
func (*TypingNotice) Type() FrameType      { return TypeTyping }
func (*PresenceSubscribe) Type() FrameType { return TypePresenceSubscribe }
func (*Heartbeat) Type() FrameType         { return TypeHeartbeat }

func (*Welcome) Type() FrameType         { return TypeWelcome }
func (*MessageReceived) Type() FrameType { return TypeMessageReceived }
func (*Incoming) Type() FrameType        { return TypeIncomingMessage }
func (*MessageUpdate) Type() FrameType   { return TypeMessageUpdate }
func (*InboxDrained) Type() FrameType    { return TypeInboxDrained }
func (*Delivered) Type() FrameType       { return TypeMessageDelivered }
func (*ReadBy) Type() FrameType          { return TypeMessageRead }
func (*Receipts) Type() FrameType        { return TypeReceipts }
func (*Presence) Type() FrameType        { return TypePresence }
func (*Typing) Type() FrameType          { return TypeTyping }
func (*GroupUpdate) Type() FrameType     { return TypeGroupUpdate }
func (*ChatUpdate) Type() FrameType      { return TypeChatUpdate }
func (*UserDeleted) Type() FrameType     { return TypeUserDeleted }
func (*WakeUp) Type() FrameType          { return TypeWakeUp }
func (*Alive) Type() FrameType           { return TypeHeartbeat }
func (*ErrorFrame) Type() FrameType      { return TypeError }
func (*Reconnect) Type() FrameType       { return TypeReconnect }

func (*Welcome) server()         {}
func (*MessageReceived) server() {}
func (*Incoming) server()        {}
func (*MessageUpdate) server()   {}
func (*InboxDrained) server()    {}
func (*Delivered) server()       {}
func (*ReadBy) server()          {}
func (*Receipts) server()        {}
func (*Presence) server()        {}
func (*Typing) server()          {}
func (*GroupUpdate) server()     {}
func (*ChatUpdate) server()      {}
func (*UserDeleted) server()     {}
func (*WakeUp) server()          {}
func (*Alive) server()           {}
func (*ErrorFrame) server()      {}
func (*Reconnect) server()       {}
