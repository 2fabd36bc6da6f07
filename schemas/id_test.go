package schemas_test

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"roost/schemas"
)

const ulid = "01K742SG00MESSAGEMESSAGE01"

func TestParsers(t *testing.T) {
	parsers := map[string]func(string) (string, error){
		"user":    func(s string) (string, error) { v, err := schemas.ParseUserID(s); return string(v), err },
		"account": func(s string) (string, error) { v, err := schemas.ParseAccountName(s); return string(v), err },
		"device":  func(s string) (string, error) { v, err := schemas.ParseDeviceID(s); return string(v), err },
		"message": func(s string) (string, error) { v, err := schemas.ParseMessageID(s); return string(v), err },
		"group":   func(s string) (string, error) { v, err := schemas.ParseGroupID(s); return string(v), err },
	}
	// The schema of each kind accepts the same ids as the parser.
	definitions := map[string]string{
		"user": "user_id", "account": "account_name", "device": "device_id", "message": "message_id", "group": "group_id",
	}
	tests := []struct {
		kind string
		in   string
		ok   bool
	}{
		{"user", "alice", true},
		{"user", "a", true},
		{"user", "Alice_B-7", true},
		{"user", "carol@example.org", true},
		{"user", "urn:oidc|7 6.5*>", true},
		{"user", "王小明", true},
		{"user", "g", true},
		{"user", "G-7", true},
		{"user", strings.Repeat("x", 128), true},
		{"user", strings.Repeat("é", 64), true},
		{"user", "", false},
		{"user", "g-", false},
		{"user", "g-7", false},
		{"user", ".", false},
		{"user", "..", false},
		{"user", "...", true},
		{"user", ".a", true},
		{"user", "a..", true},
		{"user", "a/../b", true},
		{"user", "/", false},
		{"user", "//", true},
		{"user", "tab\tbed", false},
		{"user", "nul\x00", false},
		{"user", "line\n", false},
		{"user", "\x7f", false},
		{"user", "not \xff UTF-8", false},
		{"user", strings.Repeat("x", 129), false},
		{"user", strings.Repeat("é", 65), false},

		{"account", "alice", true},
		{"account", "A-Z_0-9", true},
		{"account", strings.Repeat("x", 64), true},
		{"account", "", false},
		{"account", "g-alice", false},
		{"account", "alice.b", false},
		{"account", "älice", false},
		{"account", strings.Repeat("x", 65), false},

		{"device", ulid, true},
		{"message", ulid, true},
		{"message", strings.Repeat("0", 26), true},
		{"message", "7" + strings.Repeat("Z", 25), true},
		{"message", "", false},
		{"message", "8" + strings.Repeat("Z", 25), false},
		{"message", ulid[1:], false},
		{"message", ulid + "0", false},
		{"message", strings.ToLower(ulid), false},
		{"message", strings.Replace(ulid, "M", "I", 1), false},
		{"message", strings.Replace(ulid, "M", "L", 1), false},
		{"message", strings.Replace(ulid, "M", "O", 1), false},
		{"message", strings.Replace(ulid, "M", "U", 1), false},
		{"message", strings.Replace(ulid, "ME", "é", 1), false},

		{"group", "g-" + ulid, true},
		{"group", ulid, false},
		{"group", "G-" + ulid, false},
		{"group", "g-" + ulid[1:], false},
		{"group", "g-", false},
		{"group", "", false},
	}
	for _, tt := range tests {
		got, err := parsers[tt.kind](tt.in)
		if (err == nil) != tt.ok {
			t.Errorf("%s %q: error %v, want ok %v", tt.kind, tt.in, err, tt.ok)
		}
		want := ""
		if tt.ok {
			want = tt.in
			if err := schema(t, "ids#/$defs/"+definitions[tt.kind]).Validate(tt.in); err != nil {
				t.Errorf("%s %q: the schema refuses it: %v", tt.kind, tt.in, err)
			}
		}
		if got != want {
			t.Errorf("%s %q: got %q", tt.kind, tt.in, got)
		}
	}
}

func TestParseParticipant(t *testing.T) {
	tests := []struct {
		in   string
		want schemas.Participant
		ok   bool
	}{
		{"bob", schemas.Participant{User: "bob"}, true},
		{"g-" + ulid, schemas.Participant{Group: "g-" + ulid}, true},
		{"g-friends", schemas.Participant{}, false},
		{"", schemas.Participant{}, false},
	}
	for _, tt := range tests {
		got, err := schemas.ParseParticipant(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: %+v, %v", tt.in, got, err)
		}
	}
}

func TestUserToken(t *testing.T) {
	tests := []struct {
		user  schemas.UserID
		token string
	}{
		{"alice", "alice"},
		{"A-z_9", "A-z_9"},
		{"a.b", "a=2Eb"},
		{"=", "=3D"},
		{"* >", "=2A=20=3E"},
		{"é", "=C3=A9"},
		{"carol@example.org", "carol=40example=2Eorg"},
	}
	for _, tt := range tests {
		if got := tt.user.Token(); got != tt.token {
			t.Errorf("%q: token %q, want %q", tt.user, got, tt.token)
		}
		if got, err := schemas.ParseUserToken(tt.token); got != tt.user || err != nil {
			t.Errorf("%q: back %q, %v", tt.token, got, err)
		}
	}
	for _, token := range []string{"", "=", "=4", "a=", "=4g", "=2e", "=61", "a.b", "é", "=C3", "g-7", "g=2D7", "=0A", "= 1"} {
		if got, err := schemas.ParseUserToken(token); err == nil {
			t.Errorf("%q is read as %q", token, got)
		}
	}
}

var tokenForm = regexp.MustCompile(`^[A-Za-z0-9_=-]+$`)

func FuzzUserToken(f *testing.F) {
	for _, s := range []string{"alice", "a.b", "=41", "carol=40example=2Eorg", "g-7", "王小明", "\xff", "* >", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := schemas.ParseUserID(s); err == nil {
			token := u.Token()
			if !tokenForm.MatchString(token) {
				t.Errorf("%q: the token %q does not fit into a subject", s, token)
			}
			if back, err := schemas.ParseUserToken(token); back != u || err != nil {
				t.Errorf("%q: token %q, back %q, %v", s, token, back, err)
			}
		}
		if u, err := schemas.ParseUserToken(s); err == nil && u.Token() != s {
			t.Errorf("the token %q is read as %q, which has the token %q", s, u, u.Token())
		}
	})
}

func TestMessageIDTime(t *testing.T) {
	const last = 1<<48 - 1
	tests := []struct {
		at, want schemas.Timestamp
		id       schemas.MessageID
	}{
		{0, 0, "00000000000000000000000000"},
		{1, 1, "00000000010000000000000000"},
		{1760000000000, 1760000000000, "01K742SG000000000000000000"},
		{last, last, "7ZZZZZZZZZ0000000000000000"},
		{last + 1, last, "7ZZZZZZZZZ0000000000000000"},
		{math.MaxInt64, last, "7ZZZZZZZZZ0000000000000000"},
		{-1, 0, "00000000000000000000000000"},
	}
	for _, tt := range tests {
		id := schemas.MessageIDAt(tt.at)
		if id != tt.id {
			t.Errorf("at %d: %s, want %s", tt.at, id, tt.id)
		}
		if _, err := schemas.ParseMessageID(string(id)); err != nil {
			t.Errorf("at %d: %v", tt.at, err)
		}
		if got := id.Time(); got != tt.want {
			t.Errorf("%s is of %d, want %d", id, got, tt.want)
		}
	}
	for _, id := range []schemas.MessageID{"", "0", "01K742SG00", schemas.MessageID(ulid + "0")} {
		if got := id.Time(); got != 0 {
			t.Errorf("%q is of %d, want 0", id, got)
		}
	}
	if got := schemas.MessageID(ulid).Time(); got != 1760000000000 {
		t.Errorf("%s is of %d", ulid, got)
	}
}

// TestMessageIDOrder: the order of ids as text is that of their times.
func TestMessageIDOrder(t *testing.T) {
	times := []schemas.Timestamp{0, 1, 31, 32, 33, 1023, 1024, 999999999999, 1000000000000, 1760000000000, 1760000000001, 1<<48 - 1}
	for i := 1; i < len(times); i++ {
		before, after := schemas.MessageIDAt(times[i-1]), schemas.MessageIDAt(times[i])
		if before >= after {
			t.Errorf("%s of %d is not before %s of %d", before, times[i-1], after, times[i])
		}
	}
}

func TestTimestamp(t *testing.T) {
	at := time.Date(2025, 10, 9, 8, 53, 20, 123_456_789, time.FixedZone("", 7200))
	ts := schemas.TimestampOf(at)
	if ts != 1759992800123 {
		t.Errorf("timestamp %d", ts)
	}
	if back := ts.Time(); back.Location() != time.UTC || !back.Equal(at.Truncate(time.Millisecond)) {
		t.Errorf("back %v, want %v", back, at)
	}
}

func TestParseTimestamp(t *testing.T) {
	for in, want := range map[string]schemas.Timestamp{
		"1": 1, "1760000000000": 1760000000000, "9007199254740991": 1<<53 - 1,
		"": 0, "0": 0, "00": 0, "01": 0, "-1": 0, "+1": 0, "1.0": 0, "1e3": 0, " 1": 0, "1 ": 0, "x": 0, "１": 0,
		"9007199254740992": 0, "9223372036854775807": 0, "99999999999999999999": 0, strings.Repeat("9", 5000): 0,
	} {
		if got, err := schemas.ParseTimestamp(in); got != want || (err == nil) != (want > 0) {
			t.Errorf("%.40q: %d, %v, want %d", in, got, err, want)
		}
	}
}

func TestChatWith(t *testing.T) {
	users := []schemas.UserID{"alice", "bob", "a.b", "a", "b", "王小明", "=", "carol@example.org", "a-b", "B"}
	chats := map[schemas.ChatID]int{}
	for _, a := range users {
		for _, b := range users {
			chat := schemas.ChatWith(a, schemas.Participant{User: b})
			if other := schemas.ChatWith(b, schemas.Participant{User: a}); chat != other {
				t.Errorf("%q calls the chat %q, %q calls it %q", a, chat, b, other)
			}
			chats[chat]++
			x, y, ok := chat.Users()
			if got := []schemas.UserID{x, y}; !ok || !slices.Contains(got, a) || !slices.Contains(got, b) {
				t.Errorf("%q is the chat of %q, want %q and %q", chat, got, a, b)
			}
		}
	}
	if want := len(users) * (len(users) + 1) / 2; len(chats) != want {
		t.Errorf("%d chats, want %d", len(chats), want)
	}
	inGroup := schemas.ChatWith("alice", schemas.Participant{Group: group})
	if inGroup != schemas.ChatID(group) {
		t.Errorf("the chat of the group is %q", inGroup)
	}
	for _, chat := range []schemas.ChatID{inGroup, "", "alice", ".", "alice.", ".bob", "alice.b.c", "alice.=4"} {
		if a, b, ok := chat.Users(); ok {
			t.Errorf("%q is the chat of %q and %q", chat, a, b)
		}
	}
}
