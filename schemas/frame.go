package schemas

// Limits of frames.
const (
	MaxFrameBytes     = 16 << 10 // one WebSocket text frame
	MaxContentRunes   = 1000     // Unicode code points of a message's content
	MaxInFlight       = 256      // unacknowledged entries in flight per device
	MaxOutstanding    = 64       // sends of a device without message_received
	MaxPresenceUsers  = 500      // users of one subscription to presence
	MaxDeviceNameByte = 128      // bytes of a device's name
	MaxReceiptItems   = 100      // items in one receipts frame
	MaxReceiptMembers = 64       // members of a group with live receipts and typing
	MaxReceiptGroups  = 50       // groups whose receipts a device gets when it connects
	MaxReactionRunes  = 32       // Unicode code points of a reaction
	MaxWakeUps        = 50       // channels with a wake_up for a device that connects
)

// MaxNumber is the largest number that a client may send, 2^53-1. Programs with
// floating-point numbers, such as JavaScript, cannot tell larger neighbours apart, so
// deduplication by them would drop messages.
const MaxNumber = 1<<53 - 1

// FrameType is the type of a frame. The server always sends it as "type", and accepts
// "action" too.
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

// Frames that both sides send, with different fields.
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
	// validate checks presence, form and length of every field. It returns an error
	// about the first wrong field.
	validate() *Error
}

// Send is a frame with a message or an update. The server answers it by its number:
// *SendMessage or *UpdateMessage.
type Send interface {
	ClientFrame
	// Draft returns the message without the fields that the server sets.
	Draft() Message
}

// Draft implements [Send]. It leaves out the client's timestamp.
func (f *SendMessage) Draft() Message {
	return Message{ReceiverID: f.ReceiverID, GroupID: f.GroupID, Content: f.Content, ReplyTo: f.ReplyTo,
		MessageIDByClient: f.MessageIDByClient}
}

// Draft implements [Send]. It leaves out the client's timestamp.
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

// Hello is the first frame of a connection, within 10 s.
type Hello struct {
	Token       string   `json:"token,omitempty"`        // unless the HTTP request had an Authorization header
	DeviceID    DeviceID `json:"device_id,omitempty"`    // this or
	DeviceName  string   `json:"device_name,omitempty"`  // this, which registers a device
	ResumeAfter Cursor   `json:"resume_after,omitempty"` // the device has stored everything up to here
}

// SendMessage asks the server to accept and deliver a message.
type SendMessage struct {
	ReceiverID        UserID          `json:"receiver_id,omitempty"` // this or
	GroupID           GroupID         `json:"group_id,omitempty"`    // this
	Content           string          `json:"content"`               // 1 to MaxContentRunes code points
	MessageIDByClient ClientMessageID `json:"message_id_by_client"`
	Timestamp         Timestamp       `json:"timestamp,omitempty"` // the sender's clock; not stored, the message gets the server's time
	ReplyTo           MessageID       `json:"reply_to,omitempty"`
}

// UpdateMessage asks the server to accept and deliver an update of an earlier message.
type UpdateMessage struct {
	ReceiverID        UserID          `json:"receiver_id,omitempty"` // this or
	GroupID           GroupID         `json:"group_id,omitempty"`    // this: the chat of the target
	TargetMessageID   MessageID       `json:"target_message_id"`
	Change            MessageChange   `json:"change"`
	Content           string          `json:"content,omitempty"` // see [MessageChange]
	MessageIDByClient ClientMessageID `json:"message_id_by_client"`
	Timestamp         Timestamp       `json:"timestamp,omitempty"` // the sender's clock; not stored, the update gets the server's time
}

// DeliveredAck acknowledges one entry: the device has stored it.
type DeliveredAck struct {
	MessageID MessageID `json:"message_id"`
	Timestamp Timestamp `json:"timestamp,omitempty"` // the device's clock; not stored
}

// Ack acknowledges every entry up to Cursor: the device has stored them.
type Ack struct {
	Cursor Cursor `json:"cursor"`
}

// Read marks a message, and all earlier ones of the chat, as read by the user.
type Read struct {
	MessageID MessageID `json:"message_id"`
	SenderID  UserID    `json:"sender_id,omitempty"` // the sender of the message; the server may have deleted an older message
	GroupID   GroupID   `json:"group_id,omitempty"`  // of a group message
}

// TypingNotice tells the chat that the user is typing.
type TypingNotice struct {
	ReceiverID UserID  `json:"receiver_id,omitempty"` // this or
	GroupID    GroupID `json:"group_id,omitempty"`    // this
}

// PresenceSubscribe replaces the list of users whose presence the device receives, or adds to
// it, because a list of MaxPresenceUsers long ids does not fit into one frame.
type PresenceSubscribe struct {
	UserIDs []UserID `json:"user_ids"`      // the whole list has at most MaxPresenceUsers
	Add     bool     `json:"add,omitempty"` // add to the list instead of replacing it
}

// Heartbeat shows that the client is alive. The server answers it with [Alive].
type Heartbeat struct{}

// Welcome answers hello.
type Welcome struct {
	UserID                UserID          `json:"user_id"`
	DeviceID              DeviceID        `json:"device_id"`
	SessionID             SessionID       `json:"session_id"`
	ServerTime            Timestamp       `json:"server_time"`
	HeartbeatMS           int64           `json:"heartbeat_ms"` // the client sends a frame at least this often
	MaxInFlight           int             `json:"max_in_flight"`
	MaxOutstandingSends   int             `json:"max_outstanding_sends"`
	LastMessageIDByClient ClientMessageID `json:"last_message_id_by_client"` // 0: none
}

// MessageReceived tells the sender that the server has accepted the message: it is durable for
// every target device.
type MessageReceived struct {
	MessageID         MessageID       `json:"message_id"`
	MessageIDByClient ClientMessageID `json:"message_id_by_client"`
	Timestamp         Timestamp       `json:"timestamp"`
	ExpiresAt         Timestamp       `json:"expires_at,omitempty"` // the time at which the message disappears; 0: never
}

// Incoming is a message of the device's inbox. Its bytes are those of
// [Message.StoredMessage] and a cursor.
type Incoming struct {
	Message
	Cursor Cursor `json:"cursor"`
}

// MessageUpdate is an update of an earlier message: an entry of the device's inbox whose
// Message is an update.
type MessageUpdate struct{ Incoming }

// InboxDrained means that the server has sent the whole backlog. Later entries are live.
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

// ReadBy tells the sender, and UserID's other devices, that UserID has read the message.
type ReadBy struct {
	MessageID MessageID `json:"message_id"`
	UserID    UserID    `json:"user_id"`
	GroupID   GroupID   `json:"group_id,omitempty"` // of a message of a group
	Timestamp Timestamp `json:"timestamp"`
}

// Receipts has the receipts from the time in which the device was not connected.
type Receipts struct {
	Items []ReceiptItem `json:"items"` // at most MaxReceiptItems per frame
}

// ReceiptItem is one watermark: UserID has received, and read, the messages of this chat up to
// these ids. If UserID is the receiver of the frame, another device of that user has read them.
type ReceiptItem struct {
	Chat          string    `json:"chat"` // the participant, as the receiver of the frame names it
	UserID        UserID    `json:"user_id"`
	DeliveredUpTo MessageID `json:"delivered_up_to,omitempty"`
	ReadUpTo      MessageID `json:"read_up_to,omitempty"`
}

// Presence is the presence of one user.
type Presence struct {
	UserID         UserID    `json:"user_id"`
	Online         bool      `json:"online"`
	LastActiveTime Timestamp `json:"last_active_time,omitempty"`
}

// Typing means that a user is typing.
type Typing struct {
	UserID  UserID  `json:"user_id"`
	GroupID GroupID `json:"group_id,omitempty"`
}

// GroupUpdate is a change of a group: an entry of the device's inbox.
type GroupUpdate struct {
	GroupChange
	Cursor Cursor `json:"cursor"`
}

// ChatUpdate is a change of the settings of a 1:1 chat: an entry of the device's inbox.
type ChatUpdate struct {
	ChatChange
	Cursor Cursor `json:"cursor"`
}

// UserDeleted tells the users of 1:1 chats with a deleted account of its deletion. It is an
// entry of the device's inbox.
type UserDeleted struct {
	UserDeletion
	Cursor Cursor `json:"cursor"`
}

// WakeUp means that a channel, a group whose members pull its messages, has a new message or
// update. It is not an entry of the inbox, and may be lost.
type WakeUp struct {
	GroupID   GroupID   `json:"group_id"`
	MessageID MessageID `json:"message_id"` // of the newest message or update
}

// Alive answers a [Heartbeat]: the connection is alive. Its type is heartbeat too.
type Alive struct{}

// ErrorFrame is the error of a frame. The connection stays open.
type ErrorFrame struct {
	Code              Code            `json:"code"`
	Message           string          `json:"message"`
	MessageIDByClient ClientMessageID `json:"message_id_by_client,omitempty"`
	RetryAfterMS      int64           `json:"retry_after_ms,omitempty"`
}

// Reconnect announces that the server will close the connection.
type Reconnect struct {
	AfterMS int64 `json:"after_ms"` // connect again after this time; it has jitter per connection
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
