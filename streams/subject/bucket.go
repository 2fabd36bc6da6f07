package subject

import (
	"roost/schemas"
)

// Bucket is a key-value bucket: a stream by the conventions of ADR-8 of NATS.
type Bucket string

// Buckets.
const (
	Accounts    Bucket = "ACCOUNTS"
	Devices     Bucket = "DEVICES"
	Settings    Bucket = "SETTINGS"
	Blocks      Bucket = "BLOCKS"
	Receipts    Bucket = "RECEIPTS"
	Acks        Bucket = "ACKS"
	Sessions    Bucket = "SESSIONS"
	Gateways    Bucket = "GATEWAYS"
	Groups      Bucket = "GROUPS"
	Memberships Bucket = "MEMBERSHIPS"
	Keys        Bucket = "KEYS"
	Requests    Bucket = "REQUESTS"
)

// Stream is the stream of the bucket.
func (b Bucket) Stream() string { return "KV_" + string(b) }

// Subject is the subject of a key in the stream of the bucket; a key may have wildcards.
func (b Bucket) Subject(key string) string { return "$KV." + string(b) + "." + key }

// UserKey is the key of a user in ACCOUNTS, DEVICES, SETTINGS, BLOCKS and REQUESTS.
func UserKey(u schemas.UserID) string { return u.Token() }

// DeviceKey is the key of a device in SESSIONS and ACKS.
func DeviceKey(a Address) string { return a.User.Token() + "." + string(a.Device) }

// MembershipKey is the key of a membership in MEMBERSHIPS.
func MembershipKey(u schemas.UserID, g schemas.GroupID) string {
	return u.Token() + "." + string(g)
}

// ReceiptKey is the key of a watermark in RECEIPTS: of a reader, in the messages of a
// sender.
func ReceiptKey(sender, reader schemas.UserID) string {
	return sender.Token() + "." + reader.Token()
}

// GroupReceiptKey is the key of a watermark of a member, in the messages of a group. It
// is no ReceiptKey: no user id begins as group ids do.
func GroupReceiptKey(g schemas.GroupID, member schemas.UserID) string {
	return string(g) + "." + member.Token()
}

// ReadMarkKey is the key of a read mark in RECEIPTS. It has three parts, and so is no
// ReceiptKey. The reader is the first one, for a look-up of all marks of a user.
func ReadMarkKey(reader schemas.UserID, chat schemas.Participant) string {
	if chat.Group != "" {
		return reader.Token() + ".read." + string(chat.Group)
	}
	return reader.Token() + ".read." + chat.User.Token()
}

// ReadMarks is the subject of all read marks of a user.
func ReadMarks(u schemas.UserID) string {
	return Receipts.Subject(u.Token() + ".read.*")
}
