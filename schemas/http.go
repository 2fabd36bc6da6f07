package schemas

import (
	"encoding/json"
	"mime"
	"strings"
)

// ContentType is the media type of HTTP bodies, in both directions.
const ContentType = "application/json"

// CheckContentType checks the Content-Type header of a request with a body: it must be present
// once and name JSON in UTF-8. Web pages of other origins can send other types without a CORS
// preflight, so a body of another type must have no effect.
func CheckContentType(header []string) *Error {
	if len(header) == 1 {
		kind, params, err := mime.ParseMediaType(header[0])
		charset, named := params["charset"]
		if err == nil && kind == ContentType && (!named || strings.EqualFold(charset, "utf-8")) {
			return nil
		}
	}
	return Errorf(CodeUnsupportedType, "Content-Type: is %q. Send the body as %s in UTF-8.", clip(strings.Join(header, ", ")), ContentType)
}

// Status is the outcome in every HTTP answer.
type Status string

// Values of Status.
const (
	StatusSuccess Status = "success"
	StatusFailed  Status = "failed"
)

// Answer is the body of every HTTP answer. It has data or an error, never both.
type Answer struct {
	Status Status          `json:"status"`
	Data   json.RawMessage `json:"data,omitempty"`
	Error  *AnswerError    `json:"error,omitempty"`
}

// AnswerError is an [Error] in an HTTP answer.
type AnswerError struct {
	Code         Code   `json:"code"`
	Message      string `json:"message"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
}

// Credentials is the body of POST /accounts.
type Credentials struct {
	UserID   UserID `json:"user_id"`
	Password string `json:"password"`
}

// Limits of a password, in bytes.
const (
	MinPasswordBytes = 8
	MaxPasswordBytes = 1024
)

// Validate checks the form of both fields.
func (c *Credentials) Validate() *Error {
	if _, err := ParseAccountName(string(c.UserID)); err != nil {
		return InvalidField("user_id", "%v.", err)
	}
	if len(c.Password) < MinPasswordBytes || len(c.Password) > MaxPasswordBytes {
		return InvalidField("password", "has %d to %d bytes.", MinPasswordBytes, MaxPasswordBytes)
	}
	return nil
}

// Login is the body of POST /sessions. Its fields are the input of a user. A name that no
// account can have gets the same error as any other wrong name.
type Login struct {
	UserID   string `json:"user_id"`
	Password string `json:"password"`
}

// AccountCreated answers POST /accounts.
type AccountCreated struct {
	UserID    UserID    `json:"user_id"`
	CreatedAt Timestamp `json:"created_at"`
}

// Token answers POST /sessions.
type Token struct {
	Token     string    `json:"token"`
	ExpiresAt Timestamp `json:"expires_at"`
}

// AccountDeletion is the body of DELETE /account of a built-in account.
type AccountDeletion struct {
	Password string `json:"password"`
}

// AccountDeleted answers DELETE /account.
type AccountDeleted struct {
	UserID    UserID    `json:"user_id"`
	DeletedAt Timestamp `json:"deleted_at"`
	Kept      []Kept    `json:"kept"`
}

// Kept is data of a deleted account that other users keep.
type Kept struct {
	Where KeptWhere `json:"where"`
	What  string    `json:"what"` // a sentence for the user
}

// KeptWhere is the place of the data. The list is append-only.
type KeptWhere string

// Values of KeptWhere.
const (
	KeptInInboxes  KeptWhere = "inboxes"
	KeptInHistory  KeptWhere = "history"
	KeptOnDevices  KeptWhere = "devices"
	KeptInSettings KeptWhere = "settings"
	KeptAsName     KeptWhere = "name" // reserved for a time
)

// NewDevice is the body of POST /devices.
type NewDevice struct {
	Name string `json:"name"`
}

// DeviceInfo answers POST /devices, and GET /devices in a list.
type DeviceInfo struct {
	DeviceID   DeviceID  `json:"device_id"`
	Name       string    `json:"name"`
	CreatedAt  Timestamp `json:"created_at"`
	LastActive Timestamp `json:"last_active,omitempty"` // to the day
}

// Info returns the fields of a device that its user sees.
func (d Device) Info() DeviceInfo {
	return DeviceInfo{DeviceID: d.DeviceID, Name: d.Name, CreatedAt: d.CreatedAt, LastActive: d.LastActive}
}

// SettingsChange is the body of PUT /user/settings: any subset of the fields.
type SettingsChange struct {
	HistoryStorage *int      `json:"history_storage,omitempty"`
	LastSeen       *LastSeen `json:"last_seen,omitempty"`
	ReadReceipts   *bool     `json:"read_receipts,omitempty"`
}

// Validate checks the fields that are set.
func (c *SettingsChange) Validate() *Error {
	if h := c.HistoryStorage; h != nil {
		if e := validateHistoryStorage(*h); e != nil {
			return e
		}
	}
	if l := c.LastSeen; l != nil && *l != LastSeenEveryone && *l != LastSeenNobody {
		return InvalidField("last_seen", "must be %q or %q.", LastSeenEveryone, LastSeenNobody)
	}
	return nil
}

// Apply returns s with the change. HistorySince becomes now if the change switches history on.
func (c *SettingsChange) Apply(s Settings, now Timestamp) Settings {
	if c.HistoryStorage != nil {
		switch {
		case *c.HistoryStorage == 0:
			s.HistorySince = 0
		case !s.KeepsHistory():
			s.HistorySince = now
		}
		s.HistoryStorage = *c.HistoryStorage
	}
	if c.LastSeen != nil {
		s.LastSeen = *c.LastSeen
	}
	if c.ReadReceipts != nil {
		s.ReadReceipts = *c.ReadReceipts
	}
	return s
}

// UserSettings answers GET and PUT /user/settings.
type UserSettings struct {
	HistoryStorage int      `json:"history_storage"`
	LastSeen       LastSeen `json:"last_seen"`
	ReadReceipts   bool     `json:"read_receipts"`
}

// Public returns the settings that the user sees.
func (s Settings) Public() UserSettings {
	return UserSettings{HistoryStorage: s.HistoryStorage, LastSeen: s.LastSeen, ReadReceipts: s.ReadReceipts}
}

// ReadMarks answers GET /reads: how far the user has read each chat. It has at most
// MaxReadMarks chats, the chat of the latest mark last.
type ReadMarks struct {
	Items []ReadMark `json:"items"`
	Next  string     `json:"next,omitempty"` // the parameter after for the next page, if there is one
}

// ReadMark is the last message of a chat that a user has read.
type ReadMark struct {
	Chat     string    `json:"chat"` // the participant, as the user names it
	ReadUpTo MessageID `json:"read_up_to"`
}

// MaxReadMarks bounds the chats of one answer to GET /reads.
const MaxReadMarks = 500

// BlockList answers GET /blocks.
type BlockList struct {
	UserIDs []UserID `json:"user_ids"` // ascending
}

// HistoryMessage is one message of GET /history and GET /chat after its updates.
type HistoryMessage struct {
	MessageID  MessageID  `json:"message_id"`
	SenderID   UserID     `json:"sender_id"`
	ReceiverID UserID     `json:"receiver_id,omitempty"`
	GroupID    GroupID    `json:"group_id,omitempty"`
	Content    string     `json:"content"` // empty if it was deleted
	Timestamp  Timestamp  `json:"timestamp"`
	ReplyTo    MessageID  `json:"reply_to,omitempty"`
	ExpiresAt  Timestamp  `json:"expires_at,omitempty"`
	EditedAt   Timestamp  `json:"edited_at,omitempty"`
	Deleted    bool       `json:"deleted,omitempty"`   // for everyone
	Reactions  []Reaction `json:"reactions,omitempty"` // at most MaxReactions
}

// History returns the message for a page of history.
func (m *MessageState) History() HistoryMessage {
	return HistoryMessage{MessageID: m.MessageID, SenderID: m.SenderID, ReceiverID: m.ReceiverID,
		GroupID: m.GroupID, Content: m.Content, Timestamp: m.Timestamp, ReplyTo: m.ReplyTo,
		ExpiresAt: m.ExpiresAt, EditedAt: m.EditedAt, Deleted: m.Deleted, Reactions: m.Reactions}
}

// UserStatus answers GET /user/{user_id}/status.
type UserStatus struct {
	LastActiveTime  Timestamp `json:"last_active_time,omitempty"` // absent if it is hidden or unknown
	ConnectionState string    `json:"connection_state"`           // "online", "online 5 minutes ago" or "offline"
}

// Readiness answers GET /readyz. Missing has the failed parts without which Roost cannot
// serve. Degraded has the failed parts that users can send and receive messages without.
type Readiness struct {
	Ready    bool              `json:"ready"`
	Missing  map[string]string `json:"missing,omitempty"`
	Degraded map[string]string `json:"degraded,omitempty"`
}
