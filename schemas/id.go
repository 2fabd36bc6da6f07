package schemas

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// UserID names a person. It is any UTF-8 text of 1 to 128 bytes that does not
// start with "g-" and holds no control character; ".", ".." and "/" are none, because
// no path can name them: clients and proxies take them out, however they are escaped. The built-in
// accounts allow less, see [ParseAccountName].
type UserID string

// DeviceID names one device of one user: a ULID made by the server.
type DeviceID string

// GroupID names a group chat: "g-" and a ULID, made by the server.
type GroupID string

// MessageID names a message: a ULID made by the server whose time part is a
// hybrid logical clock, so ids compare as text in the order in which they were
// made after one another.
type MessageID string

// SessionID names one WebSocket connection of one device: a ULID.
type SessionID string

// ClientMessageID is the number that a device gave its send: positive, increasing and
// at most [MaxNumber]. The same number sent again is the same message.
type ClientMessageID int64

// Cursor is a position in one device's inbox, opaque to clients.
type Cursor string

// Timestamp is milliseconds since 1970, UTC.
type Timestamp int64

// ChatID names a chat inside the server: a group id, or for the chat of two
// users both their tokens, sorted, so that both name it alike. Clients never
// see it; they name a chat by its participant.
type ChatID string

const (
	maxUserIDBytes      = 128
	maxAccountNameBytes = 64
	groupPrefix         = "g-"
	ulidLen             = 26
)

// Now is the current time as a Timestamp.
func Now() Timestamp { return TimestampOf(time.Now()) }

// TimestampOf converts t.
func TimestampOf(t time.Time) Timestamp { return Timestamp(t.UnixMilli()) }

// Time converts back.
func (t Timestamp) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// ParseTimestamp reads a timestamp as it stands in a URL: digits alone, from 1 to
// [MaxNumber].
func ParseTimestamp(s string) (Timestamp, error) {
	const most = 16 // digits of MaxNumber
	n := int64(0)
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' || i == most {
			n = 0
			break
		}
		n = n*10 + int64(s[i]-'0')
	}
	if n <= 0 || n > MaxNumber || s[0] == '0' {
		return 0, fmt.Errorf("a timestamp is milliseconds since 1970, from 1 to 2^53-1, in digits alone")
	}
	return Timestamp(n), nil
}

// ParseUserID accepts what [UserID] describes.
func ParseUserID(s string) (UserID, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("a user id has 1 to %d bytes, this one is empty", maxUserIDBytes)
	case len(s) > maxUserIDBytes:
		return "", fmt.Errorf("a user id has at most %d bytes, this one has %d", maxUserIDBytes, len(s))
	case strings.HasPrefix(s, groupPrefix):
		return "", fmt.Errorf("a user id does not start with %q, which names groups", groupPrefix)
	case s == "." || s == ".." || s == "/":
		return "", fmt.Errorf("a user id is none of \".\", \"..\" and \"/\", which no path of a URL can name")
	case !utf8.ValidString(s):
		return "", fmt.Errorf("a user id is UTF-8 text, this one is not")
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f {
			return "", fmt.Errorf("a user id has no control characters")
		}
	}
	return UserID(s), nil
}

// ParseAccountName accepts the ids of built-in accounts: 1 to 64 of
// A-Z a-z 0-9 _ -, not starting with "g-".
func ParseAccountName(s string) (UserID, error) {
	if len(s) > maxAccountNameBytes {
		return "", fmt.Errorf("a user id has at most %d characters, this one has %d", maxAccountNameBytes, len(s))
	}
	for i := 0; i < len(s); i++ {
		if !safeByte(s[i]) {
			return "", fmt.Errorf("a user id has only A-Z a-z 0-9 _ and -")
		}
	}
	return ParseUserID(s)
}

// ParseDeviceID accepts a canonical ULID.
func ParseDeviceID(s string) (DeviceID, error) {
	if !isULID(s) {
		return "", fmt.Errorf("a device id is a ULID of %d characters, as the server made it", ulidLen)
	}
	return DeviceID(s), nil
}

// ParseMessageID accepts a canonical ULID.
func ParseMessageID(s string) (MessageID, error) {
	if !isULID(s) {
		return "", fmt.Errorf("a message id is a ULID of %d characters, as the server made it", ulidLen)
	}
	return MessageID(s), nil
}

// ParseGroupID accepts "g-" and a canonical ULID.
func ParseGroupID(s string) (GroupID, error) {
	if !strings.HasPrefix(s, groupPrefix) || !isULID(s[len(groupPrefix):]) {
		return "", fmt.Errorf("a group id is %q and a ULID, as the server made it", groupPrefix)
	}
	return GroupID(s), nil
}

// Participant is the other end of a chat: exactly one of its fields is set.
type Participant struct {
	User  UserID
	Group GroupID
}

// ParseParticipant accepts a user id or a group id.
func ParseParticipant(s string) (Participant, error) {
	if strings.HasPrefix(s, groupPrefix) {
		g, err := ParseGroupID(s)
		return Participant{Group: g}, err
	}
	u, err := ParseUserID(s)
	return Participant{User: u}, err
}

// ChatWith is the chat that owner means by participant p.
func ChatWith(owner UserID, p Participant) ChatID {
	if p.Group != "" {
		return ChatID(p.Group)
	}
	a, b := owner.Token(), p.User.Token()
	if b < a {
		a, b = b, a
	}
	return ChatID(a + "." + b)
}

// Users are the two users of a 1:1 chat; ok is false for a group.
func (c ChatID) Users() (a, b UserID, ok bool) {
	left, right, found := strings.Cut(string(c), ".")
	if !found {
		return "", "", false
	}
	a, errA := ParseUserToken(left)
	b, errB := ParseUserToken(right)
	return a, b, errA == nil && errB == nil
}

// Time is when the message was made, to the millisecond, by its clock.
func (m MessageID) Time() Timestamp {
	if len(m) != ulidLen {
		return 0
	}
	var ms int64
	for i := 0; i < 10; i++ {
		ms = ms<<5 | int64(crockfordValue[m[i]])
	}
	return Timestamp(ms)
}

// MessageIDAt is the smallest message id of that millisecond, or of the first
// or last possible one where t is outside of what a ULID holds.
func MessageIDAt(t Timestamp) MessageID {
	const last = 1<<48 - 1
	ms := min(max(int64(t), 0), last)
	var b [ulidLen]byte
	for i := range b {
		b[i] = '0'
	}
	for i := 9; i >= 0; i-- {
		b[i] = crockford[ms&31]
		ms >>= 5
	}
	return MessageID(b[:])
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// crockfordValue is the place of each byte in crockford; -1 where it has none.
var crockfordValue = func() (t [256]int8) {
	for c := range t {
		t[c] = int8(strings.IndexByte(crockford, byte(c)))
	}
	return t
}()

func isULID(s string) bool {
	if len(s) != ulidLen || s[0] > '7' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if crockfordValue[s[i]] < 0 {
			return false
		}
	}
	return true
}

// Token is the user id as it stands in a NATS subject or a KV key: itself on
// A-Z a-z 0-9 _ -, and "=XX" in hexadecimal for every other byte. Two users
// never share a token, and [ParseUserToken] reads it back.
func (u UserID) Token() string {
	for i := 0; i < len(u); i++ {
		if !safeByte(u[i]) {
			return escape(string(u))
		}
	}
	return string(u)
}

func escape(s string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)*3)
	for i := 0; i < len(s); i++ {
		if c := s[i]; safeByte(c) {
			b = append(b, c)
		} else {
			b = append(b, '=', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// ParseUserToken reads what [UserID.Token] wrote, and nothing else: every user
// id has exactly one token.
func ParseUserToken(s string) (UserID, error) {
	raw := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			raw = append(raw, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("the token %q ends inside an escape", s)
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("the token %q has a bad escape", s)
		}
		raw = append(raw, byte(hi<<4|lo))
		i += 2
	}
	u, err := ParseUserID(string(raw))
	if err != nil {
		return "", err
	}
	if u.Token() != s {
		return "", fmt.Errorf("the token %q is not in its one canonical form", s)
	}
	return u, nil
}

func unhex(c byte) int { return strings.IndexByte("0123456789ABCDEF", c) }

func safeByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}
