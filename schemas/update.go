package schemas

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// MessageChange is the effect of an update on its target.
type MessageChange string

// Values of MessageChange.
const (
	// ChangeEdit replaces the content. Only the sender of the message may edit it, within
	// EditTime.
	ChangeEdit MessageChange = "edit"
	// ChangeDelete removes the content for everyone. Only the sender of the message may
	// delete it, within DeleteTime. The update has no content.
	ChangeDelete MessageChange = "delete"
	// ChangeReaction sets the reaction of the update's sender to the update's content, of
	// at most MaxReactionRunes. It replaces the earlier reaction. An empty content
	// removes it.
	ChangeReaction MessageChange = "reaction"
)

// The times after the send in which a message may be changed, by the times in the two ids.
const (
	EditTime   = 15 * time.Minute
	DeleteTime = 48 * time.Hour
)

// Window returns the time after a send in which its sender may make the change. 0 means that
// every user of the chat may make it at any time.
func (c MessageChange) Window() time.Duration {
	switch c {
	case ChangeEdit:
		return EditTime
	case ChangeDelete:
		return DeleteTime
	}
	return 0
}

// TooLate returns an error if the target of the update was too old at the time of the update's
// id. Otherwise it returns nil.
func (m *Message) TooLate(id MessageID) *Error {
	window := m.Change.Window()
	if window == 0 || id.Time()-m.TargetMessageID.Time() <= Timestamp(window.Milliseconds()) {
		return nil
	}
	return Errorf(CodeTooLate, "target_message_id: was sent more than %s ago and cannot be changed any more.", map[MessageChange]string{
		ChangeEdit: "15 minutes", ChangeDelete: "2 days"}[m.Change])
}

// MessageState is a message after its updates.
type MessageState struct {
	Message
	EditedAt  Timestamp  `json:"edited_at,omitempty"` // the time of the last edit
	Deleted   bool       `json:"deleted,omitempty"`   // for everyone; then the content is empty
	Reactions []Reaction `json:"reactions,omitempty"` // oldest first, at most MaxReactions
}

// Reaction is the reaction of one user to a message.
type Reaction struct {
	UserID   UserID `json:"user_id"`
	Reaction string `json:"reaction"` // 1 to MaxReactionRunes code points
}

// Bounds of the reactions on a page of history. A message shows the newest ones. The bytes per
// page still fit into one NATS message if every byte is escaped.
const (
	MaxReactions      = 100
	MaxReactionsBytes = 128 << 10
)

// Fold applies updates, in any order, to the messages of one chat.
//
//  1. Of several updates of the same kind by one user to one message only the newest
//     applies. If ids are equal or empty, the later in the slice is newer.
//  2. Fold ignores updates that their sender may not make, and updates of a missing target.
//  3. If there are too many reactions for the page, the first messages show theirs.
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
	for i := len(updates) - 1; i >= 0; i-- { // newest first
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

// finish empties a deleted message. It drops the reactions that exceed room, and reverses the
// others, so the oldest comes first.
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

// DisappearingDays has the allowed times after which the messages of a chat disappear, in days.
// 0 is never.
var DisappearingDays = []int{0, 1, 7, 90}

func validateDisappearingDays(days int) *Error {
	if !slices.Contains(DisappearingDays, days) {
		return InvalidField("disappearing_days", "must be 0 (never), 1, 7 or 90.")
	}
	return nil
}

// ExpiresAt returns the time at which a message disappears that was accepted at that time, in a
// chat with that setting. 0 is never.
func ExpiresAt(accepted Timestamp, days int) Timestamp {
	if days == 0 {
		return 0
	}
	return accepted + Timestamp((time.Duration(days) * 24 * time.Hour).Milliseconds())
}

// KeptUntil returns the last millisecond in which history keeps the message. An update is kept
// as long as its target could be, by the time in the id of the target. An edit or reaction also
// ends at its own ExpiresAt; after the target is stored, the target's time replaces it.
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

// ChatTimer is a user's setting for a 1:1 chat: the days after which messages disappear. Of the
// settings of the two users the newer one applies.
type ChatTimer struct {
	UserID           UserID    `json:"user_id"`           // the other user
	DisappearingDays int       `json:"disappearing_days"` // see [DisappearingDays]
	Chosen           MessageID `json:"chosen"`            // the id of the setting
}

// MaxTimers bounds Settings.Timers: that many with days, and that many with never. Gateways
// read the timers with every user that they load.
const MaxTimers = 1000

// Timer returns the user's last setting for the chat with u.
func (s Settings) Timer(u UserID) ChatTimer {
	i, ok := slices.BinarySearchFunc(s.Timers, u, compareTimer)
	if !ok {
		return ChatTimer{UserID: u}
	}
	return s.Timers[i]
}

// SetTimer returns a copy of s with that setting. It returns false if MaxTimers other chats have
// a setting with days. A setting of never evicts the oldest of never, if there are MaxTimers.
func (s Settings) SetTimer(t ChatTimer) (Settings, bool) {
	timers := slices.Clone(s.Timers)
	i, found := slices.BinarySearchFunc(timers, t.UserID, compareTimer)
	if found {
		timers = slices.Delete(timers, i, i+1)
	}
	same, oldest := 0, -1
	for j, o := range timers {
		if (o.DisappearingDays == 0) != (t.DisappearingDays == 0) {
			continue
		}
		if same++; oldest < 0 || o.Chosen < timers[oldest].Chosen {
			oldest = j
		}
	}
	switch {
	case same < MaxTimers:
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

// DisappearingIn returns after how many days messages disappear in the 1:1 chat of a and b.
func DisappearingIn(a UserID, settingsOfA Settings, b UserID, settingsOfB Settings) int {
	byA, byB := settingsOfA.Timer(b), settingsOfB.Timer(a)
	if byB.Chosen > byA.Chosen {
		return byB.DisappearingDays
	}
	return byA.DisappearingDays
}

// ChatChange is a change of the settings of a 1:1 chat, as an inbox entry.
type ChatChange struct {
	MessageID        MessageID `json:"message_id"`
	ByUserID         UserID    `json:"by_user_id"`
	UserID           UserID    `json:"user_id"`           // the other user
	DisappearingDays int       `json:"disappearing_days"` // of later messages
	Timestamp        Timestamp `json:"timestamp"`
}

// Type returns the type of the entry's frame.
func (*ChatChange) Type() FrameType { return TypeChatUpdate }

// StoredUpdate returns the inbox entry: a chat_update frame without its cursor. See
// [AppendCursor].
func (c *ChatChange) StoredUpdate() []byte { return EncodeFrame(c) }

// ChatSettings is the body of PUT /chats/{user_id}, and the answer to PUT and GET.
type ChatSettings struct {
	DisappearingDays *int `json:"disappearing_days"` // see [DisappearingDays]
}

// Validate checks that the field is set and valid.
func (c *ChatSettings) Validate() *Error {
	if c.DisappearingDays == nil {
		return InvalidField("disappearing_days", "is missing.")
	}
	return validateDisappearingDays(*c.DisappearingDays)
}
