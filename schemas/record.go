package schemas

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// SendRecord is a send record: the durable answer to every retry of one send, without its
// content. Stream SENT_p keeps the last MaxOutstanding of each device.
type SendRecord struct {
	MessageIDByClient ClientMessageID `json:"message_id_by_client"`
	MessageID         MessageID       `json:"message_id"`
	ContentHash       ContentHash     `json:"content_hash"`
	// Highest is the largest number of the device so far, if that is not this one: a
	// client retries a refused send after it has sent later ones.
	Highest ClientMessageID `json:"highest_message_id_by_client,omitempty"`
	// InboxFrom is set if send records are committed after the copies. From that
	// sequence of INBOX_0 on, the send of a copy may have no record yet.
	InboxFrom int64 `json:"inbox_from,omitempty"`
	// BlockedBy is the receiver who had blocked the sender. No retry is delivered to that
	// user, even after the block has ended.
	BlockedBy UserID `json:"blocked_by,omitempty"`
	// ExpiresAt is the time at which the message disappears, also for a retry; 0: never.
	ExpiresAt Timestamp `json:"expires_at,omitempty"`
}

// Newest returns the largest number of the device, this record included.
func (r SendRecord) Newest() ClientMessageID { return max(r.MessageIDByClient, r.Highest) }

// ContentHash distinguishes a retry from another message under the same number. It is the
// first 16 bytes of a SHA-256 in base64url, over receiver, reply_to and content, and for an
// update also over its change and target.
type ContentHash string

// Hash returns the ContentHash of the message's send.
func (m *Message) Hash() ContentHash {
	var room [256]byte // large enough for most messages
	b := room[:0]
	for _, part := range [...]string{string(m.ReceiverID), string(m.GroupID), string(m.ReplyTo), m.Content} {
		b = appendPart(b, part)
	}
	if m.IsUpdate() {
		b = appendPart(appendPart(b, string(m.Change)), string(m.TargetMessageID))
	}
	sum := sha256.Sum256(b)
	const kept = 16
	var text [(kept*8 + 5) / 6]byte
	base64.RawURLEncoding.Encode(text[:], sum[:kept])
	return ContentHash(text[:])
}

func appendPart(b []byte, part string) []byte {
	b = strconv.AppendInt(b, int64(len(part)), 10)
	b = append(b, ':')
	b = append(b, part...)
	return append(b, ',')
}

// Account is the account of a user, in bucket ACCOUNTS.
type Account struct {
	UserID       UserID    `json:"user_id"`
	PasswordHash string    `json:"password_hash,omitempty"` // argon2id in PHC form; empty for users of an external issuer
	CreatedAt    Timestamp `json:"created_at"`
	KeyHash      string    `json:"key_hash,omitempty"` // of the Idempotency-Key, see [Account.CreatedWith]
}

// Device is one device of a user.
type Device struct {
	DeviceID  DeviceID  `json:"device_id"`
	Name      string    `json:"name"`
	CreatedAt Timestamp `json:"created_at"`
	// LastActive is the day of the last connection. A gateway writes it at the hello,
	// before the session begins, and once a day during the session.
	LastActive Timestamp `json:"last_active,omitempty"`
	// Unclaimed is set if the user had no device when messages arrived, and this first
	// device has not taken them over yet.
	Unclaimed bool `json:"unclaimed,omitempty"`
}

// Idle reports whether the device was last used before t.
func (d Device) Idle(t Timestamp) bool { return max(d.LastActive, d.CreatedAt) < t }

// Devices has all devices of a user, in bucket DEVICES. The key exists from the creation of
// the account on, even without devices.
type Devices struct {
	Devices []Device `json:"devices"`
	// Removed has the last removed devices, newest last, at most MaxRemoved. A removed
	// device that connects learns from it that it was removed.
	Removed []DeviceID `json:"removed,omitempty"`
	// LastActive is the last connection of a device that is not in Devices any more.
	LastActive Timestamp `json:"last_active,omitempty"`
	// DeletedAt is the time at which the user deleted the account. For all other users
	// the account does not exist from then on.
	DeletedAt Timestamp `json:"deleted_at,omitempty"`
	// Erased means that all data of the user is deleted, and that the name is free unless
	// it is reserved.
	Erased bool `json:"erased,omitempty"`
	// ReservedUntil is the end of the time in which the name of the deleted account is
	// reserved. 0 means that the name is free after the erasure.
	ReservedUntil Timestamp `json:"reserved_until,omitempty"`
	// Notice is the id of the user_deleted entries for other users.
	Notice MessageID `json:"notice,omitempty"`
	// TokensAfter is the time at which an earlier account of this name was deleted. Older
	// tokens belong to that account.
	TokensAfter Timestamp `json:"tokens_after,omitempty"`
}

// WithRemoved returns d with another removed device.
func (d Devices) WithRemoved(id DeviceID) Devices {
	all := append(slices.Clone(d.Removed), id)
	d.Removed = all[max(0, len(all)-MaxRemoved):]
	return d
}

// Revoked reports whether a registered device was removed, by itself or with its account. The
// deletion of an earlier account of the same name does not revoke it, because the record of
// that deletion may arrive after the registration.
func (d Devices) Revoked(device Device) bool {
	deleted := max(d.DeletedAt, d.TokensAfter)
	return deleted > 0 && device.CreatedAt <= deleted || slices.Contains(d.Removed, device.DeviceID)
}

// Deleted reports whether this is the record of a deleted account.
func (d Devices) Deleted() bool { return d.DeletedAt > 0 }

// NameTaken reports whether the name of a deleted account is not free at t: its erasure is not
// complete, or the name is reserved.
func (d Devices) NameTaken(t Timestamp) bool {
	return d.Deleted() && (!d.Erased || t < d.ReservedUntil)
}

// UserDeletion is the deletion of an account, as an inbox entry for the users of 1:1 chats with
// it.
type UserDeletion struct {
	MessageID MessageID `json:"message_id"`
	UserID    UserID    `json:"user_id"`
	Timestamp Timestamp `json:"timestamp"`
}

// Type returns the type of the entry's frame.
func (*UserDeletion) Type() FrameType { return TypeUserDeleted }

// StoredUpdate returns the inbox entry: a user_deleted frame without its cursor. See
// [AppendCursor].
func (d *UserDeletion) StoredUpdate() []byte { return EncodeFrame(d) }

// MaxRemoved bounds Devices.Removed.
const MaxRemoved = 32

// LastSeen decides which users see when a user was last online.
type LastSeen string

// Values of LastSeen.
const (
	LastSeenEveryone LastSeen = "everyone"
	LastSeenNobody   LastSeen = "nobody"
)

// HistoryDays is the time for which history is kept, if it is on.
const HistoryDays = 90

// Settings has the settings of a user, in bucket SETTINGS.
type Settings struct {
	HistoryStorage int         `json:"history_storage"`         // 0 or HistoryDays
	HistorySince   Timestamp   `json:"history_since,omitempty"` // the time at which it was switched on
	LastSeen       LastSeen    `json:"last_seen"`
	ReadReceipts   bool        `json:"read_receipts"`
	Timers         []ChatTimer `json:"timers,omitempty"` // by UserID, each once, at most MaxTimers
}

// DefaultSettings returns the settings of a user who has set none.
func DefaultSettings() Settings {
	return Settings{HistoryStorage: 0, LastSeen: LastSeenEveryone, ReadReceipts: true}
}

// KeepsHistory reports whether history is on.
func (s Settings) KeepsHistory() bool { return s.HistoryStorage > 0 }

// Blocks has the users that a user blocks, in bucket BLOCKS. A user who never blocked another
// has no key.
type Blocks struct {
	UserIDs []UserID `json:"user_ids"` // ascending, each once, at most MaxBlocks
}

// Limits of Blocks. Gateways read them with every user that they load, so the bytes are bounded
// too: fewer long ids fit.
const (
	MaxBlocks      = 10_000
	MaxBlocksBytes = 192 << 10 // of the encoded record
)

// Has reports whether u is blocked.
func (b Blocks) Has(u UserID) bool {
	_, ok := slices.BinarySearch(b.UserIDs, u)
	return ok
}

// Session is the connection of a device, or its last one, in bucket SESSIONS. Gateway is empty
// after the connection has ended.
type Session struct {
	SessionID   SessionID `json:"session_id"`
	Gateway     string    `json:"gateway,omitempty"`
	ConnectedAt Timestamp `json:"connected_at"`
	EndedAt     Timestamp `json:"ended_at,omitempty"`
	// ReceiptsFrom is the beginning of the time whose receipts the session sent at its
	// start.
	ReceiptsFrom Timestamp `json:"receipts_from,omitempty"`
}

// receiptsArrived is the length of a connection, in ms, after which its first frames have
// certainly arrived. The server closes a dead connection sooner.
const receiptsArrived = 3 * 60 * 1000

// MissedFrom returns the time from which the device may lack receipts, for the session after s.
// During s, any live receipt may have been lost. If s was short, or its end is unknown, the
// receipts at its start may have been lost too.
func (s *Session) MissedFrom() Timestamp {
	if s.EndedAt < s.ConnectedAt+receiptsArrived && s.ReceiptsFrom > 0 {
		return min(s.ReceiptsFrom, s.ConnectedAt)
	}
	return s.ConnectedAt
}

// GatewayLease is the lease of a live gateway, in bucket GATEWAYS.
type GatewayLease struct {
	Gateway   string    `json:"gateway"`
	StartedAt Timestamp `json:"started_at"`
	Address   string    `json:"address,omitempty"`
	// RemovalBehind means that the gateway cannot keep up with the removal of acknowledged
	// entries, so all gateways hold back their senders.
	RemovalBehind bool `json:"removal_behind,omitempty"`
}

// Watermark is how far one reader has received and read the messages of one sender, in bucket
// RECEIPTS. Its fields only grow.
type Watermark struct {
	DeliveredUpTo MessageID `json:"delivered_up_to,omitempty"`
	ReadUpTo      MessageID `json:"read_up_to,omitempty"`
}

// Merge returns the larger value of each field.
func (w Watermark) Merge(o Watermark) Watermark {
	return Watermark{DeliveredUpTo: max(w.DeliveredUpTo, o.DeliveredUpTo), ReadUpTo: max(w.ReadUpTo, o.ReadUpTo)}
}

// SessionEvent is published on evt.session.<user> when a device connects or
// disconnects.
type SessionEvent struct {
	UserID    UserID    `json:"user_id"`
	DeviceID  DeviceID  `json:"device_id"`
	SessionID SessionID `json:"session_id"`
	Gateway   string    `json:"gateway,omitempty"` // the gateway of the connection
	Online    bool      `json:"online"`
	Timestamp Timestamp `json:"timestamp"`
}

// HistoryRequest asks a worker for a page of a chat's history.
type HistoryRequest struct {
	UserID UserID    `json:"user_id"`         // the reader
	Chat   string    `json:"chat"`            // the participant, as the reader names it
	UpTo   Timestamp `json:"up_to,omitempty"` // only messages up to this time; 0: now
	Whole  bool      `json:"whole,omitempty"` // all messages that a group keeps, also those before the reader joined
	// Before limits the page to messages with a smaller id. Empty: no bound.
	Before MessageID `json:"before,omitempty"`
}

// PageBounds selects a page of a chat: the newest messages within both bounds. The zero value
// selects the newest page.
type PageBounds struct {
	UpTo   Timestamp // only messages up to this time; 0: no bound
	Before MessageID // only messages with a smaller id; empty: no bound
}

// Has reports whether a message is within the bounds.
func (b PageBounds) Has(m *Message) bool {
	return (b.UpTo == 0 || m.Timestamp <= b.UpTo) && (b.Before == "" || m.MessageID < b.Before)
}

// HistoryReply answers a HistoryRequest, newest first.
type HistoryReply struct {
	Messages []MessageState `json:"messages"`
}

// ChatsRequest asks a worker for the chats of a user that may have history.
type ChatsRequest struct {
	UserID UserID `json:"user_id"`
	After  string `json:"after,omitempty"` // only chats after this one
}

// ChatsReply answers a ChatsRequest, sorted. A reply with fewer than MaxChats chats is the last.
type ChatsReply struct {
	Chats []string `json:"chats"` // participants, as that user names them
}

// MaxChats bounds the chats of a reply.
const MaxChats = 500

// HistoryPageSize is the number of messages on a page of history.
const HistoryPageSize = 20

// Encode encodes any record of this file as JSON.
func Encode(record any) []byte { return marshal(record) }

// Decode decodes the output of [Encode].
func Decode[T any](data []byte) (T, error) {
	var plain T
	if into, ok := any(&plain).(scanned); ok {
		s := scanner{rest: data}
		if into.scan(&s); s.done() {
			return plain, nil
		}
	}
	v, err := decodeAny[T](data)
	if err != nil {
		return v, fmt.Errorf("not JSON of the schema of %T: %w", v, err)
	}
	return v, nil
}

// decodeAny decodes any record by reflection.
func decodeAny[T any](data []byte) (v T, err error) {
	err = json.Unmarshal(data, &v)
	return v, err
}
