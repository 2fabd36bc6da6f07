package schemas

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// MessageChange says what an update does to the message that it names.
type MessageChange string

// Values of MessageChange.
const (
	// ChangeEdit replaces the content. The sender of the message may, within EditTime.
	ChangeEdit MessageChange = "edit"
	// ChangeDelete removes the content, for everyone and for good. The sender of the
	// message may, within DeleteTime. The update has no content.
	ChangeDelete MessageChange = "delete"
	// ChangeReaction makes the update's content, of at most MaxReactionRunes, the
	// reaction of its sender, in place of the one before; empty, it takes that back.
	ChangeReaction MessageChange = "reaction"
)

// For how long a message may be changed, by the times in the two ids.
const (
	EditTime   = 15 * time.Minute
	DeleteTime = 48 * time.Hour
)

// Window is for how long after a message was sent the change may be made, and only by
// who sent it; 0 is for ever, and by everybody in the chat.
func (c MessageChange) Window() time.Duration {
	switch c {
	case ChangeEdit:
		return EditTime
	case ChangeDelete:
		return DeleteTime
	}
	return 0
}

// TooLate is the error of an update that was made, by its id, when its target was too
// old for it already; nil for all others.
func (m *Message) TooLate(id MessageID) *Error {
	window := m.Change.Window()
	if window == 0 || id.Time()-m.TargetMessageID.Time() <= Timestamp(window.Milliseconds()) {
		return nil
	}
	return Errorf(CodeTooLate, "target_message_id: was sent more than %s ago; it stays as it is.", map[MessageChange]string{
		ChangeEdit: "15 minutes", ChangeDelete: "2 days"}[m.Change])
}

// MessageState is a message and what became of it by updates.
type MessageState struct {
	Message
	EditedAt  Timestamp  `json:"edited_at,omitempty"` // when it was edited last
	Deleted   bool       `json:"deleted,omitempty"`   // for everyone; there is no content then
	Reactions []Reaction `json:"reactions,omitempty"` // the oldest first, at most MaxReactions
}

// Reaction is one person's reaction to a message.
type Reaction struct {
	UserID   UserID `json:"user_id"`
	Reaction string `json:"reaction"` // 1 to MaxReactionRunes code points
}

// Bounds of the reactions that a page of history shows: the newest ones of each
// message, and of the page as much text as still fits into one message of NATS with all
// of it escaped.
const (
	MaxReactions      = 100
	MaxReactionsBytes = 128 << 10
)

// Fold applies updates, in any order, to the messages of one chat; of those with the same
// id, or none, the later ones are newer. Of several updates
// of one person to one message the newest counts; one that its sender may not make is
// left out, as is one of a message that is not there. Where there are too many reactions
// the first messages show theirs.
func Fold(messages, updates []Message) []MessageState {
	states := make([]MessageState, len(messages))
	of := make(map[MessageID]*MessageState, len(messages))
	for i, m := range messages {
		states[i].Message = m
		of[m.MessageID] = &states[i]
	}
	updates = slices.SortedStableFunc(slices.Values(updates), func(a, b Message) int {
		return strings.Compare(string(a.MessageID), string(b.MessageID))
	})
	type kind struct {
		target MessageID
		by     UserID
		change MessageChange
	}
	seen := make(map[kind]bool, len(updates))
	for i := len(updates) - 1; i >= 0; i-- { // the newest first
		u := &updates[i]
		to, k := of[u.TargetMessageID], kind{u.TargetMessageID, u.SenderID, u.Change}
		if to != nil && !seen[k] {
			seen[k] = true
			to.apply(u)
		}
	}
	room := MaxReactionsBytes
	for i := range states {
		states[i].finish(&room)
	}
	return states
}

// apply applies the newest update of its kind.
func (s *MessageState) apply(u *Message) {
	switch {
	case u.Change.Window() > 0 && u.SenderID != s.SenderID:
	case u.Change == ChangeDelete:
		s.Deleted = true
	case u.Change == ChangeEdit:
		s.Content, s.EditedAt = u.Content, u.Timestamp
	case u.Change == ChangeReaction && u.Content != "" && len(s.Reactions) < MaxReactions:
		s.Reactions = append(s.Reactions, Reaction{UserID: u.SenderID, Reaction: u.Content})
	}
}

// finish leaves of a deleted message nothing but that, and of the reactions, which are
// the newest first, those for which there is room, the oldest first.
func (s *MessageState) finish(room *int) {
	if s.Deleted {
		s.Content, s.ReplyTo, s.EditedAt, s.Reactions = "", "", 0, nil
	}
	for i, r := range s.Reactions {
		size := len(r.UserID) + len(r.Reaction)
		if size > *room {
			s.Reactions = s.Reactions[:i]
			break
		}
		*room -= size
	}
	slices.Reverse(s.Reactions)
}

// DisappearingDays are the times after which messages of a chat may disappear, in
// days; 0 is never.
var DisappearingDays = []int{0, 1, 7, 90}

func validateDisappearingDays(days int) *Error {
	if !slices.Contains(DisappearingDays, days) {
		return InvalidField("disappearing_days", "is 0 (never), 1, 7 or 90.")
	}
	return nil
}

// ExpiresAt is when a message disappears that is accepted at a time in a chat where
// messages do so after some days; 0 is never.
func ExpiresAt(accepted Timestamp, days int) Timestamp {
	if days == 0 {
		return 0
	}
	return accepted + Timestamp((time.Duration(days) * 24 * time.Hour).Milliseconds())
}

// KeptUntil is the last millisecond in which history has the message. What is done to
// a message goes by the time of that message, and by its own time to disappear, where
// it is content, only as long as the message is not known.
func (m *Message) KeptUntil() Timestamp {
	at := m.Timestamp
	if m.IsUpdate() {
		at = min(at, m.TargetMessageID.Time())
	}
	until := at + HistoryDays*24*60*60*1000
	if m.ExpiresAt != 0 && m.Change != ChangeDelete {
		until = min(until, m.ExpiresAt-1)
	}
	return until
}

// ChatTimer is what a person chose for the chat with another: after how many days
// messages disappear. Of the choices of the two the newer one holds.
type ChatTimer struct {
	UserID           UserID    `json:"user_id"`           // the other
	DisappearingDays int       `json:"disappearing_days"` // see [DisappearingDays]
	Chosen           MessageID `json:"chosen"`            // the id of the choice
}

// MaxTimers bounds the chats in Settings.Timers in which messages disappear by the
// person's choice, and those in which they do not; the timers are read whenever their
// person is loaded.
const MaxTimers = 1000

// Timer is what the person chose for the chat with u last, if anything.
func (s Settings) Timer(u UserID) ChatTimer {
	i, ok := slices.BinarySearchFunc(s.Timers, u, compareTimer)
	if !ok {
		return ChatTimer{UserID: u}
	}
	return s.Timers[i]
}

// SetTimer is s with that choice; false where messages disappear in MaxTimers other
// chats. A choice of never beyond so many takes the place of the oldest of them. Timers
// are not changed in place.
func (s Settings) SetTimer(t ChatTimer) (Settings, bool) {
	timers := slices.Clone(s.Timers)
	i, found := slices.BinarySearchFunc(timers, t.UserID, compareTimer)
	if found {
		timers = slices.Delete(timers, i, i+1)
	}
	alike, oldest := 0, -1
	for j, o := range timers {
		if (o.DisappearingDays == 0) != (t.DisappearingDays == 0) {
			continue
		}
		if alike++; oldest < 0 || o.Chosen < timers[oldest].Chosen {
			oldest = j
		}
	}
	switch {
	case alike < MaxTimers:
	case t.DisappearingDays > 0:
		return s, false
	default:
		timers = slices.Delete(timers, oldest, oldest+1)
	}
	i, _ = slices.BinarySearchFunc(timers, t.UserID, compareTimer)
	s.Timers = slices.Insert(timers, i, t)
	return s, true
}

func compareTimer(t ChatTimer, u UserID) int { return cmp.Compare(t.UserID, u) }

// DisappearingIn is after how many days messages disappear in the chat of a and b,
// whose settings these are.
func DisappearingIn(a UserID, settingsOfA Settings, b UserID, settingsOfB Settings) int {
	byA, byB := settingsOfA.Timer(b), settingsOfB.Timer(a)
	if byB.Chosen > byA.Chosen {
		return byB.DisappearingDays
	}
	return byA.DisappearingDays
}

// ChatChange is a change of the settings of a chat of two, as an inbox entry has it.
type ChatChange struct {
	MessageID        MessageID `json:"message_id"`
	ByUserID         UserID    `json:"by_user_id"`
	UserID           UserID    `json:"user_id"`           // the other one of the two
	DisappearingDays int       `json:"disappearing_days"` // of messages sent since then
	Timestamp        Timestamp `json:"timestamp"`
}

// Type of the frame that the entry becomes.
func (*ChatChange) Type() FrameType { return TypeChatUpdate }

// StoredUpdate is an inbox entry: a chat_update frame without its cursor. See
// [AppendCursor].
func (c *ChatChange) StoredUpdate() []byte { return EncodeFrame(c) }

// ChatSettings are the body of PUT /chats/{user_id}, and the answer to it and to GET.
type ChatSettings struct {
	DisappearingDays *int `json:"disappearing_days"` // see [DisappearingDays]
}

// Validate checks that the field is there and right.
func (c *ChatSettings) Validate() *Error {
	if c.DisappearingDays == nil {
		return InvalidField("disappearing_days", "is missing.")
	}
	return validateDisappearingDays(*c.DisappearingDays)
}
