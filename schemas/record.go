package schemas

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// SentRecord is the durable answer to every retry of one send: in stream
// SENT_p, the last MaxOutstanding of each device, without content.
type SentRecord struct {
	MessageIDByClient ClientMessageID `json:"message_id_by_client"`
	MessageID         MessageID       `json:"message_id"`
	ContentHash       ContentHash     `json:"content_hash"`
	// Highest is the largest number of the device so far, where that is not this
	// one: a send that was refused comes again behind its successors.
	Highest ClientMessageID `json:"highest_message_id_by_client,omitempty"`
	// InboxFrom is there where records are committed behind their copies: the
	// send of a copy from that sequence of INBOX_0 on may have no record yet.
	InboxFrom int64 `json:"inbox_from,omitempty"`
	// BlockedBy is the receiver where they had blocked the sender: no retry,
	// however late, is delivered to them.
	BlockedBy UserID `json:"blocked_by,omitempty"`
	// ExpiresAt is when the message disappears, if at all: for a retry too.
	ExpiresAt Timestamp `json:"expires_at,omitempty"`
}

// Newest is the largest number of the device, this record included.
func (r SentRecord) Newest() ClientMessageID { return max(r.MessageIDByClient, r.Highest) }

// ContentHash tells a retry from another message under the same number: 16
// bytes of SHA-256 over receiver, reply_to and content, and of an update over what it
// does to which message, in base64url.
type ContentHash string

// Hash is the ContentHash of the send that the message is of.
func (m *Message) Hash() ContentHash {
	var room [256]byte // enough for most messages
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

// Account is a person known to the server, in bucket ACCOUNTS.
type Account struct {
	UserID       UserID    `json:"user_id"`
	PasswordHash string    `json:"password_hash,omitempty"` // argon2id in PHC form; empty for users of an external issuer
	CreatedAt    Timestamp `json:"created_at"`
	KeyHash      string    `json:"key_hash,omitempty"` // of the Idempotency-Key, see [Account.MadeWith]
}

// Device is one device of a person.
type Device struct {
	DeviceID  DeviceID  `json:"device_id"`
	Name      string    `json:"name"`
	CreatedAt Timestamp `json:"created_at"`
	// LastActive is when it was last connected, to the day: a gateway writes it at
	// the hello, before there is a session, and once a day while it lasts.
	LastActive Timestamp `json:"last_active,omitempty"`
	// Unclaimed: the person had no device when messages came, and this one,
	// the first, has not taken them over yet.
	Unclaimed bool `json:"unclaimed,omitempty"`
}

// Idle says whether the device was last used before t.
func (d Device) Idle(t Timestamp) bool { return max(d.LastActive, d.CreatedAt) < t }

// Devices are all devices of a person, in bucket DEVICES. The key exists from
// the person's first day on, with or without devices.
type Devices struct {
	Devices []Device `json:"devices"`
	// Removed are the devices removed last, newest last, at most MaxRemoved: a
	// device that comes back learns that it was removed.
	Removed []DeviceID `json:"removed,omitempty"`
	// LastActive is when a device that is among Devices no more was connected last.
	LastActive Timestamp `json:"last_active,omitempty"`
	// DeletedAt is when the person deleted the account. The record says so to
	// whoever comes with it; for everybody else there is no such person.
	DeletedAt Timestamp `json:"deleted_at,omitempty"`
	// Erased: everything that was stored about the person is deleted, and the name
	// may be taken again.
	Erased bool `json:"erased,omitempty"`
	// ReservedUntil is until when nobody may take the name of the deleted account; 0
	// where it is free once everything is deleted.
	ReservedUntil Timestamp `json:"reserved_until,omitempty"`
	// Notice is the id of the entries that tell other users of the deletion.
	Notice MessageID `json:"notice,omitempty"`
	// TokensAfter is when an account that had the name before was deleted: tokens
	// issued until then are not of this person.
	TokensAfter Timestamp `json:"tokens_after,omitempty"`
}

// WithRemoved adds a device to those removed last.
func (d Devices) WithRemoved(id DeviceID) Devices {
	all := append(slices.Clone(d.Removed), id)
	d.Removed = all[max(0, len(all)-MaxRemoved):]
	return d
}

// Lost says whether a device that was registered is removed, by itself or with its
// account. The deletion of an earlier account of the same name does not concern it: the
// record of that deletion may arrive after the device was registered.
func (d Devices) Lost(device Device) bool {
	deleted := max(d.DeletedAt, d.TokensAfter)
	return deleted > 0 && device.CreatedAt <= deleted || slices.Contains(d.Removed, device.DeviceID)
}

// Deleted says whether this is what is left of a deleted account.
func (d Devices) Deleted() bool { return d.DeletedAt > 0 }

// Taken says whether nobody may have the name of a deleted account at t: not
// everything of it is deleted, or the name is reserved.
func (d Devices) Taken(t Timestamp) bool { return d.Deleted() && (!d.Erased || t < d.ReservedUntil) }

// UserDeletion says that an account was deleted, as an inbox entry of the users who
// wrote with it has it.
type UserDeletion struct {
	MessageID MessageID `json:"message_id"`
	UserID    UserID    `json:"user_id"`
	Timestamp Timestamp `json:"timestamp"`
}

// Type of the frame that the entry becomes.
func (*UserDeletion) Type() FrameType { return TypeUserDeleted }

// StoredUpdate is an inbox entry: a user_deleted frame without its cursor. See
// [AppendCursor].
func (d *UserDeletion) StoredUpdate() []byte { return EncodeFrame(d) }

// MaxRemoved bounds Devices.Removed.
const MaxRemoved = 32

// LastSeen says who sees when a person was last online.
type LastSeen string

// Values of LastSeen.
const (
	LastSeenEveryone LastSeen = "everyone"
	LastSeenNobody   LastSeen = "nobody"
)

// HistoryDays is for how long history is kept for those who chose it.
const HistoryDays = 90

// Settings are a person's choices, in bucket SETTINGS.
type Settings struct {
	HistoryStorage int         `json:"history_storage"`         // 0 or HistoryDays
	HistorySince   Timestamp   `json:"history_since,omitempty"` // when it was switched on
	LastSeen       LastSeen    `json:"last_seen"`
	ReadReceipts   bool        `json:"read_receipts"`
	Timers         []ChatTimer `json:"timers,omitempty"` // by UserID, each once, at most MaxTimers
}

// DefaultSettings are those of a person who never chose.
func DefaultSettings() Settings {
	return Settings{HistoryStorage: 0, LastSeen: LastSeenEveryone, ReadReceipts: true}
}

// KeepsHistory says whether the person asked for history.
func (s Settings) KeepsHistory() bool { return s.HistoryStorage > 0 }

// Blocks are the people whose messages a person does not want, in bucket BLOCKS.
// The key is absent for who never blocked anybody.
type Blocks struct {
	UserIDs []UserID `json:"user_ids"` // ascending, each once, at most MaxBlocks
}

// Limits of Blocks, which are read whenever their person is loaded: where ids are
// long, fewer of them fit.
const (
	MaxBlocks      = 10_000
	MaxBlocksBytes = 192 << 10 // of the encoded record
)

// Has says whether u is blocked.
func (b Blocks) Has(u UserID) bool {
	_, ok := slices.BinarySearch(b.UserIDs, u)
	return ok
}

// Session is a device's connection, or when the last one ended, in bucket
// SESSIONS. Gateway is empty once it ended.
type Session struct {
	SessionID   SessionID `json:"session_id"`
	Gateway     string    `json:"gateway,omitempty"`
	ConnectedAt Timestamp `json:"connected_at"`
	EndedAt     Timestamp `json:"ended_at,omitempty"`
	// ReceiptsFrom is since when the device was shown what changed of receipts.
	ReceiptsFrom Timestamp `json:"receipts_from,omitempty"`
}

// settled is after how long a connection has surely brought what it began with: one
// that nothing comes back from is closed sooner.
const settled = 3 * 60 * 1000 // ms

// MissedFrom is since when the device may lack receipts, seen from the session behind
// s: live ones of its whole time may have been lost, and where it was short, or nobody
// knows how long it was, what it was shown at its beginning.
func (s *Session) MissedFrom() Timestamp {
	if s.EndedAt < s.ConnectedAt+settled && s.ReceiptsFrom > 0 {
		return min(s.ReceiptsFrom, s.ConnectedAt)
	}
	return s.ConnectedAt
}

// GatewayLease is a living gateway, in bucket GATEWAYS.
type GatewayLease struct {
	Gateway   string    `json:"gateway"`
	StartedAt Timestamp `json:"started_at"`
	Address   string    `json:"address,omitempty"`
	// RemovalBehind tells all gateways to hold their senders back: this one does not keep up
	// with the removal of acknowledged entries.
	RemovalBehind bool `json:"removal_behind,omitempty"`
}

// Watermark is how far one reader has got in the messages of one sender, in
// bucket RECEIPTS. Fields only grow.
type Watermark struct {
	DeliveredUpTo MessageID `json:"delivered_up_to,omitempty"`
	ReadUpTo      MessageID `json:"read_up_to,omitempty"`
}

// Merge is the larger of each field.
func (w Watermark) Merge(o Watermark) Watermark {
	return Watermark{DeliveredUpTo: max(w.DeliveredUpTo, o.DeliveredUpTo), ReadUpTo: max(w.ReadUpTo, o.ReadUpTo)}
}

// SessionEvent is published on evt.session.<user> when a device connects or
// disconnects.
type SessionEvent struct {
	UserID    UserID    `json:"user_id"`
	DeviceID  DeviceID  `json:"device_id"`
	SessionID SessionID `json:"session_id"`
	Gateway   string    `json:"gateway,omitempty"` // that holds the connection, or held it
	Online    bool      `json:"online"`
	Timestamp Timestamp `json:"timestamp"`
}

// HistoryRequest asks a worker for a page of a chat's history.
type HistoryRequest struct {
	UserID UserID    `json:"user_id"`         // whose view
	Chat   string    `json:"chat"`            // the participant, as that user names it
	UpTo   Timestamp `json:"up_to,omitempty"` // messages at or before this; 0 is now
	Whole  bool      `json:"whole,omitempty"` // what a group keeps, for a member, whenever they joined
	// Before is for messages with a smaller id alone; empty is no such bound.
	Before MessageID `json:"before,omitempty"`
}

// PageBounds say which page of a chat somebody wants: the newest messages within both.
// The zero value is the newest page of all.
type PageBounds struct {
	UpTo   Timestamp // messages at or before this; 0 is no bound
	Before MessageID // messages with a smaller id; empty is no bound
}

// Has says whether a message is within the bounds.
func (b PageBounds) Has(m *Message) bool {
	return (b.UpTo == 0 || m.Timestamp <= b.UpTo) && (b.Before == "" || m.MessageID < b.Before)
}

// HistoryReply answers a HistoryRequest, newest first.
type HistoryReply struct {
	Messages []MessageState `json:"messages"`
}

// ChatsRequest asks a worker for the chats of which history has something.
type ChatsRequest struct {
	UserID UserID `json:"user_id"`
	After  string `json:"after,omitempty"` // those behind this one
}

// ChatsReply answers a ChatsRequest, sorted. Fewer than MaxChats are the last ones.
type ChatsReply struct {
	Chats []string `json:"chats"` // participants, as that user names them
}

// MaxChats bounds the chats of a reply.
const MaxChats = 500

// HistoryPageSize is the number of messages on a page of history.
const HistoryPageSize = 20

// Encode writes any record of this file as JSON.
func Encode(record any) []byte { return marshal(record) }

// Decode reads what [Encode] wrote.
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

// decodeAny reads any record by reflection.
func decodeAny[T any](data []byte) (v T, err error) {
	err = json.Unmarshal(data, &v)
	return v, err
}
