package schemas

import "encoding/json"

// ExportKind is the kind of a line of GET /export. The list is append-only.
type ExportKind string

// Values of ExportKind, each with its fields of [ExportLine].
const (
	ExportAccount       ExportKind = "account"        // Account
	ExportSettings      ExportKind = "settings"       // Settings
	ExportDevice        ExportKind = "device"         // Device
	ExportRemovedDevice ExportKind = "removed_device" // DeviceID
	ExportLastActive    ExportKind = "last_active"    // LastActive: the last connection of a removed device
	ExportSession       ExportKind = "session"        // DeviceID, Session
	ExportReceipt       ExportKind = "receipt"        // Receipt
	ExportReadMark      ExportKind = "read_mark"      // ReadMark: how far the user has read a chat
	ExportBlocks        ExportKind = "blocks"         // Blocks: the users that the user blocks
	ExportMembership    ExportKind = "membership"     // Chat, Membership, Role: the user's membership of a group
	ExportRequest       ExportKind = "request"        // Request: a recent request with an Idempotency-Key
	ExportSent          ExportKind = "sent"           // DeviceID, Sent
	ExportWaiting       ExportKind = "waiting"        // Entry, and DeviceID if it is in the inbox of a device
	ExportPosted        ExportKind = "posted"         // Chat, Posted: a message of the user to a channel
	ExportMessage       ExportKind = "message"        // Chat, Message: from history
	ExportEnd           ExportKind = "end"            // Items: the export is complete
	ExportFailed        ExportKind = "error"          // Error: the rest is missing
)

// ExportLine is one line of GET /export. The last line has the kind end or error.
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
	Chat       string          `json:"chat,omitempty"`  // the participant, as the user names it
	Message    *MessageState   `json:"message,omitempty"`
	Posted     *Message        `json:"posted,omitempty"`
	Membership *Membership     `json:"membership,omitempty"`
	Role       Role            `json:"role,omitempty"`  // of the user in the group, during the membership
	Items      *int64          `json:"items,omitempty"` // the number of lines before this one
	Error      *AnswerError    `json:"error,omitempty"`
}

// Sent has the fields of a [SendRecord] that its sender sees. It hides that the receiver
// blocked the sender.
type Sent struct {
	MessageIDByClient ClientMessageID `json:"message_id_by_client"`
	MessageID         MessageID       `json:"message_id"`
	ContentHash       ContentHash     `json:"content_hash"`
	Highest           ClientMessageID `json:"highest_message_id_by_client,omitempty"`
	ExpiresAt         Timestamp       `json:"expires_at,omitempty"`
}

// Public returns the fields that the sender sees.
func (r SendRecord) Public() Sent {
	return Sent{MessageIDByClient: r.MessageIDByClient, MessageID: r.MessageID, ContentHash: r.ContentHash, Highest: r.Highest, ExpiresAt: r.ExpiresAt}
}

// For returns the message as u sees it: for a message of another user it leaves out the
// sender's device and number.
func (m MessageState) For(u UserID) MessageState {
	if m.SenderID != u {
		m.SenderDeviceID, m.MessageIDByClient = "", 0
	}
	return m
}

// Receipt is a [Watermark] of a reader in the messages of a sender or of a group.
type Receipt struct {
	SenderID      UserID    `json:"sender_id,omitempty"` // this or
	GroupID       GroupID   `json:"group_id,omitempty"`  // this
	ReaderID      UserID    `json:"reader_id"`
	DeliveredUpTo MessageID `json:"delivered_up_to,omitempty"`
	ReadUpTo      MessageID `json:"read_up_to,omitempty"`
}
