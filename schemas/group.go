package schemas

// The records of groups, and the changes of a group.

import (
	"slices"
	"strings"
)

// Role is the role of a member in a group.
type Role string

// Values of Role. A group has one owner.
const (
	RoleOwner  Role = "owner"
	RoleAdmin  Role = "admin"
	RoleMember Role = "member"
)

// Manages reports whether the role may rename the group, and add and remove members.
func (r Role) Manages() bool { return r == RoleOwner || r == RoleAdmin }

// Limits of a group.
const (
	MaxGroupNameBytes = 128
	// DefaultGroupMembers is the default maximum of members. The operator can set it, up
	// to MaxGroupMembers.
	DefaultGroupMembers = 1024
	MaxGroupMembers     = 8192
	// DefaultPushLimit is the default of the most members of a group that is not a
	// channel. The operator can set it.
	DefaultPushLimit = 1024
	// MaxGroupBytes bounds the encoded record of a group. A record is one NATS message
	// of 1 MB, and a change needs some of it.
	MaxGroupBytes = 1<<20 - 16<<10
	// alwaysFit is a number of members that fit for any ids.
	alwaysFit = 2048
)

// Group is one group, in bucket GROUPS. A record without members is about to be deleted and
// does not count as a group.
type Group struct {
	GroupID        GroupID   `json:"group_id"`
	GroupName      string    `json:"group_name"`
	CreatedAt      Timestamp `json:"created_at"`
	HistoryStorage int       `json:"history_storage"`         // 0 or HistoryDays
	HistorySince   Timestamp `json:"history_since,omitempty"` // the time at which it was switched on
	HistoryUntil   Timestamp `json:"history_until,omitempty"` // the time at which it was last switched off
	// DisappearingDays is the time after which messages disappear, see [DisappearingDays].
	DisappearingDays int       `json:"disappearing_days,omitempty"`
	Members          []Member  `json:"members"` // in the order in which they joined
	Changed          MessageID `json:"changed"` // the id of the last change
	// Pending is the last change, until all members have its entries.
	Pending *PendingChange `json:"pending,omitempty"`
}

// Member is one member of a [Group].
type Member struct {
	UserID UserID    `json:"user_id"`
	Role   Role      `json:"role"`
	Since  MessageID `json:"since"` // the id of the change that added the user
}

// PendingChange is the rest of a change whose record is written. A process that reads the
// group completes the change first.
type PendingChange struct {
	Updates []GroupChange `json:"updates"`        // for all members, in this order
	Gone    []Member      `json:"gone,omitempty"` // members until this change; they receive the updates too
}

// Member returns the member with that user id.
func (g *Group) Member(u UserID) (Member, bool) {
	if i := g.index(u); i >= 0 {
		return g.Members[i], true
	}
	return Member{}, false
}

func (g *Group) index(u UserID) int {
	return slices.IndexFunc(g.Members, func(m Member) bool { return m.UserID == u })
}

// KeepsHistory reports whether the history of the group is on.
func (g *Group) KeepsHistory() bool { return g.HistoryStorage > 0 }

// Fits reports whether the record fits into MaxGroupBytes.
func (g *Group) Fits() bool {
	return len(g.Members) <= alwaysFit || len(Encode(g)) <= MaxGroupBytes
}

// ShowsReceipts reports whether members get live receipts and typing notices. In a larger
// group, each message would cause two frames from every member, so members request counts.
func (g *Group) ShowsReceipts() bool { return len(g.Members) <= MaxReceiptMembers }

// SetHistory switches history on or off. It sets HistorySince to now after a switch on, and
// HistoryUntil after a switch off.
func (g *Group) SetHistory(days int, now Timestamp) {
	switch {
	case days == 0 && g.KeepsHistory():
		g.HistorySince, g.HistoryUntil = 0, now
	case !g.KeepsHistory():
		g.HistorySince = now
	}
	g.HistoryStorage = days
}

// SetRole gives a member another role. If it makes another member the owner, the old owner
// becomes an admin and is returned. The member must exist.
func (g *Group) SetRole(u UserID, r Role) (demoted UserID) {
	if r == RoleOwner {
		for i := range g.Members {
			if g.Members[i].Role == RoleOwner && g.Members[i].UserID != u {
				g.Members[i].Role, demoted = RoleAdmin, g.Members[i].UserID
			}
		}
	}
	g.Members[g.index(u)].Role = r
	return demoted
}

// Remove removes a member, who must exist. If that was the owner, the admin who joined first
// becomes the owner, or else the member who joined first. heir is the new owner, or empty.
func (g *Group) Remove(u UserID) (heir UserID) {
	i := g.index(u)
	owned := g.Members[i].Role == RoleOwner
	g.Members = slices.Delete(g.Members, i, i+1)
	if !owned || len(g.Members) == 0 {
		return ""
	}
	next := max(0, slices.IndexFunc(g.Members, func(m Member) bool { return m.Role == RoleAdmin }))
	g.Members[next].Role = RoleOwner
	return g.Members[next].UserID
}

// GroupChangeKind is the kind of a change of a group.
type GroupChangeKind string

// Values of GroupChangeKind.
const (
	GroupCreated      GroupChangeKind = "created"
	GroupRenamed      GroupChangeKind = "renamed"
	GroupHistory      GroupChangeKind = "history"      // history was switched on or off
	GroupAdded        GroupChangeKind = "added"        // user_id is a new member
	GroupRemoved      GroupChangeKind = "removed"      // another member removed user_id
	GroupLeft         GroupChangeKind = "left"         // user_id left
	GroupRole         GroupChangeKind = "role"         // the role of user_id
	GroupDisappearing GroupChangeKind = "disappearing" // the time after which messages disappear
)

// GroupChange is one change of a group, as an inbox entry. Later messages have a larger
// message_id.
type GroupChange struct {
	MessageID        MessageID       `json:"message_id"`
	GroupID          GroupID         `json:"group_id"`
	Change           GroupChangeKind `json:"change"`
	ByUserID         UserID          `json:"by_user_id"`
	UserID           UserID          `json:"user_id,omitempty"`           // the user that the change is about
	Role             Role            `json:"role,omitempty"`              // of UserID, after the change
	GroupName        string          `json:"group_name"`                  // after the change
	HistoryStorage   int             `json:"history_storage,omitempty"`   // after the change
	DisappearingDays int             `json:"disappearing_days,omitempty"` // of later messages
	Timestamp        Timestamp       `json:"timestamp"`
}

// Type returns the type of the entry's frame.
func (*GroupChange) Type() FrameType { return TypeGroupUpdate }

// StoredUpdate returns the inbox entry: a group_update frame without its cursor. See
// [AppendCursor].
func (c *GroupChange) StoredUpdate() []byte { return EncodeFrame(c) }

// Membership has the times in which a user was a member of a group, in bucket MEMBERSHIPS.
type Membership struct {
	Spans []Span `json:"spans"` // oldest first, at most MaxSpans
}

// Span is a time of membership between the ids of two changes. A span without an end means
// that a change was about to add the user. Only the group tells whether it did.
type Span struct {
	From MessageID `json:"from"`
	To   MessageID `json:"to,omitempty"`
}

// MaxSpans bounds Membership.Spans. Close removes the oldest spans over it, and those older
// than history.
const MaxSpans = 64

// Open begins a span. It replaces an open span.
func (m Membership) Open(from MessageID) Membership {
	return Membership{Spans: append(m.closed(), Span{From: from})}
}

// Close records that the user was a member in s. A span that was opened later stays open.
// Close may be called again with the same span.
func (m Membership) Close(s Span) Membership {
	spans := make([]Span, 0, len(m.Spans)+1)
	oldest := s.To.Time() - HistoryDays*24*60*60*1000
	for _, o := range m.Spans {
		if o.To == "" && o.From < s.To || o == s || o.To != "" && o.To.Time() < oldest {
			continue
		}
		spans = append(spans, o)
	}
	at, _ := slices.BinarySearchFunc(spans, s, func(a, b Span) int { return strings.Compare(string(a.From), string(b.From)) })
	spans = slices.Insert(spans, at, s)
	return Membership{Spans: spans[max(0, len(spans)-MaxSpans):]}
}

// IsOpen reports whether a span has no end.
func (m Membership) IsOpen() bool {
	return slices.ContainsFunc(m.Spans, func(s Span) bool { return s.To == "" })
}

func (m Membership) closed() []Span {
	return slices.DeleteFunc(slices.Clone(m.Spans), func(s Span) bool { return s.To == "" })
}

// Seen returns the spans of a user in a group: the past ones, and the present one if the group
// has the user as a member. The group may be nil.
func (m Membership) Seen(u UserID, g *Group) []Span {
	spans := m.closed()
	if g == nil {
		return spans
	}
	if g.Pending != nil { // a pending change may have ended a span
		for _, gone := range g.Pending.Gone {
			if s := (Span{From: gone.Since, To: g.Pending.Updates[0].MessageID}); gone.UserID == u && !slices.Contains(spans, s) {
				spans = append(spans, s)
			}
		}
	}
	if member, ok := g.Member(u); ok {
		spans = append(spans, Span{From: member.Since})
	}
	return spans
}

// Has reports whether the message with that id was sent within the span.
func (s Span) Has(id MessageID) bool { return id > s.From && (s.To == "" || id < s.To) }
