package schemas

import "encoding/json"

// ExportKind says what a line of GET /export is about. The list only grows.
type ExportKind string

// Values of ExportKind, each with the fields of [ExportLine] that it fills.
const (
	ExportAccount       ExportKind = "account"        // Account
	ExportSettings      ExportKind = "settings"       // Settings
	ExportDevice        ExportKind = "device"         // Device
	ExportRemovedDevice ExportKind = "removed_device" // DeviceID
	ExportLastActive    ExportKind = "last_active"    // LastActive: when one that was removed was connected last
	ExportSession       ExportKind = "session"        // DeviceID, Session
	ExportReceipt       ExportKind = "receipt"        // Receipt
	ExportReadMark      ExportKind = "read_mark"      // ReadMark: how far the person has read a chat
	ExportBlocks        ExportKind = "blocks"         // Blocks: whom the person blocks
	ExportMembership    ExportKind = "membership"     // Chat, Membership, Role: when the person was a member of a group
	ExportRequest       ExportKind = "request"        // Request: made something lately, under an Idempotency-Key
	ExportSent          ExportKind = "sent"           // DeviceID, Sent
	ExportWaiting       ExportKind = "waiting"        // DeviceID where a device has it to get, Entry
	ExportPosted        ExportKind = "posted"         // Chat, Posted: what the person sent to a channel
	ExportMessage       ExportKind = "message"        // Chat, Message: of history
	ExportEnd           ExportKind = "end"            // Items: everything is there
	ExportFailed        ExportKind = "error"          // Error: the rest is missing
)

// ExportLine is one line of GET /export. The last one is of kind end or error.
type ExportLine struct {
	Kind       ExportKind      `json:"kind"`
	DeviceID   DeviceID        `json:"device_id,omitempty"`
	Account    *AccountCreated `json:"account,omitempty"`
	Settings   *Settings       `json:"settings,omitempty"`
	Device     *DeviceInfo     `json:"device,omitempty"`
	LastActive Timestamp       `json:"last_active,omitempty"`
	Session    *Session        `json:"session,omitempty"`
	Receipt    *Receipt        `json:"receipt,omitempty"`
	ReadMark   *ReadMark       `json:"read_mark,omitempty"`
	Blocks     *Blocks         `json:"blocks,omitempty"`
	Request    *Request        `json:"request,omitempty"`
	Sent       *Sent           `json:"sent,omitempty"`
	Entry      json.RawMessage `json:"entry,omitempty"` // a frame of the server without its cursor
	Chat       string          `json:"chat,omitempty"`  // the participant, as the person names it
	Message    *MessageState   `json:"message,omitempty"`
	Posted     *Message        `json:"posted,omitempty"`
	Membership *Membership     `json:"membership,omitempty"`
	Role       Role            `json:"role,omitempty"`  // which the person has in the group, while they are a member
	Items      *int64          `json:"items,omitempty"` // how many lines stand before
	Error      *AnswerError    `json:"error,omitempty"`
}

// Sent is what a sender may know of a [SentRecord]: not that the receiver blocked them.
type Sent struct {
	MessageIDByClient ClientMessageID `json:"message_id_by_client"`
	MessageID         MessageID       `json:"message_id"`
	ContentHash       ContentHash     `json:"content_hash"`
	Highest           ClientMessageID `json:"highest_message_id_by_client,omitempty"`
	ExpiresAt         Timestamp       `json:"expires_at,omitempty"`
}

// Public is what the sender sees of the record.
func (r SentRecord) Public() Sent {
	return Sent{MessageIDByClient: r.MessageIDByClient, MessageID: r.MessageID, ContentHash: r.ContentHash, Highest: r.Highest, ExpiresAt: r.ExpiresAt}
}

// For is what u may know of a message of the chat: of those of others, not which device
// sent it under which number.
func (m MessageState) For(u UserID) MessageState {
	if m.SenderID != u {
		m.SenderDeviceID, m.MessageIDByClient = "", 0
	}
	return m
}

// Receipt is a [Watermark] and whose it is: of the messages of a sender, or of a
// group.
type Receipt struct {
	SenderID      UserID    `json:"sender_id,omitempty"` // this or
	GroupID       GroupID   `json:"group_id,omitempty"`  // this
	ReaderID      UserID    `json:"reader_id"`
	DeliveredUpTo MessageID `json:"delivered_up_to,omitempty"`
	ReadUpTo      MessageID `json:"read_up_to,omitempty"`
}
