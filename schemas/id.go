package schemas

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// UserID identifies a user. It is any UTF-8 text of 1 to 128 bytes that does not start with
// "g-" and has no control character. The texts ".", ".." and "/" are not allowed, because no
// URL path can hold them: clients and proxies remove them, even if they are escaped. Built-in
// accounts allow less, see [ParseAccountName].
type UserID string

// DeviceID identifies one device of one user: a ULID from the server.
type DeviceID string

// GroupID identifies a group: "g-" and a ULID from the server.
type GroupID string

// MessageID identifies a message: a ULID from the server. Its time part is a hybrid logical
// clock. So if one id is created after another, it is also larger as text.
type MessageID string

// SessionID identifies one WebSocket connection of one device: a ULID.
type SessionID string

// ClientMessageID is the number of a device's send: positive, increasing and at most
// [MaxNumber]. A retry has the same number.
type ClientMessageID int64

// Cursor is a position in one device's inbox, opaque to clients.
type Cursor string

// Timestamp is milliseconds since 1970, UTC.
type Timestamp int64

// ChatID identifies a chat inside the server: a group id, or the sorted tokens of the two
// users of a 1:1 chat, so it is the same for both. Clients never see it. They name a chat by
// its participant.
type ChatID string

const (
	maxUserIDBytes      = 128
	maxAccountNameBytes = 64
	groupPrefix         = "g-"
	ulidLen             = 26
)

// Now returns the current time as a Timestamp.
func Now() Timestamp { return TimestampOf(time.Now()) }

// TimestampOf converts t.
func TimestampOf(t time.Time) Timestamp { return Timestamp(t.UnixMilli()) }

// Time converts t back.
func (t Timestamp) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// ParseTimestamp reads a timestamp of a URL: only digits, from 1 to [MaxNumber].
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
		return 0, fmt.Errorf("a timestamp is milliseconds since 1970, from 1 to 2^53-1, in digits only")
	}
	return Timestamp(n), nil
}

// ParseUserID accepts every [UserID].
func ParseUserID(s string) (UserID, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("a user id has 1 to %d bytes, this one is empty", maxUserIDBytes)
	case len(s) > maxUserIDBytes:
		return "", fmt.Errorf("a user id has at most %d bytes, this one has %d", maxUserIDBytes, len(s))
	case strings.HasPrefix(s, groupPrefix):
		return "", fmt.Errorf("a user id does not start with %q, because that is a group id", groupPrefix)
	case s == "." || s == ".." || s == "/":
		return "", fmt.Errorf("a user id is not \".\", \"..\" or \"/\", because no URL path can hold it")
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

// ParseAccountName accepts the user ids of built-in accounts: 1 to 64 of A-Z a-z 0-9 _ -,
// not starting with "g-".
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
		return "", fmt.Errorf("a device id is a ULID of %d characters from the server", ulidLen)
	}
	return DeviceID(s), nil
}

// ParseMessageID accepts a canonical ULID.
func ParseMessageID(s string) (MessageID, error) {
	if !isULID(s) {
		return "", fmt.Errorf("a message id is a ULID of %d characters from the server", ulidLen)
	}
	return MessageID(s), nil
}

// ParseGroupID accepts "g-" and a canonical ULID.
func ParseGroupID(s string) (GroupID, error) {
	if !strings.HasPrefix(s, groupPrefix) || !isULID(s[len(groupPrefix):]) {
		return "", fmt.Errorf("a group id is %q and a ULID from the server", groupPrefix)
	}
	return GroupID(s), nil
}

// Participant is a user's name of a chat: the other user of a 1:1 chat, or the group.
// Exactly one field is set.
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

// ChatWith returns the chat that owner names by participant p.
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

// Users returns the two users of a 1:1 chat. ok is false for a group.
func (c ChatID) Users() (a, b UserID, ok bool) {
	left, right, found := strings.Cut(string(c), ".")
	if !found {
		return "", "", false
	}
	a, errA := ParseUserToken(left)
	b, errB := ParseUserToken(right)
	return a, b, errA == nil && errB == nil
}

// Time returns when the id was created, in milliseconds of the server's clock.
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

// MessageIDAt returns the smallest message id of that millisecond. If t is outside the range
// of a ULID, it uses the nearest millisecond of the range.
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

// crockfordValue is the index of each byte in crockford, or -1.
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

// Token returns the user id in the form of a NATS subject or KV key. A-Z a-z 0-9 _ - stay,
// and every other byte becomes "=XX" in hexadecimal. No two users share a token, and
// [ParseUserToken] reads it back.
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

// ParseUserToken reads a token of [UserID.Token]. It refuses any other form, so every user id
// has exactly one token.
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
		return "", fmt.Errorf("the token %q is not in its canonical form", s)
	}
	return u, nil
}

func unhex(c byte) int { return strings.IndexByte("0123456789ABCDEF", c) }

func safeByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}
