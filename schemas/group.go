package schemas

// What the server keeps of groups, and how a group changes.

import (
	"slices"
	"strings"
)

// Role is what a member may do in a group.
type Role string

// Values of Role. A group has one owner.
const (
	RoleOwner  Role = "owner"
	RoleAdmin  Role = "admin"
	RoleMember Role = "member"
)

// Manages says whether the role may rename the group, and add and remove members.
func (r Role) Manages() bool { return r == RoleOwner || r == RoleAdmin }

// Limits of a group.
const (
	MaxGroupNameBytes = 128
	// DefaultGroupMembers is how many members a group has at most unless the
	// operator says otherwise, who may go up to MaxGroupMembers.
	DefaultGroupMembers = 1024
	MaxGroupMembers     = 8192
	// DefaultPushLimit is from how many members on a group is a channel unless the
	// operator says otherwise: one with more.
	DefaultPushLimit = 1024
	// MaxGroupBytes bounds the encoded record of a group, which is one message of NATS
	// of 1 MB, with room for what a change adds.
	MaxGroupBytes = 1<<20 - 16<<10
	// surelyFit is how many members fit whatever their ids are.
	surelyFit = 2048
)

// Group is one group chat, in bucket GROUPS. One without members is about to be
// deleted, and is none.
type Group struct {
	GroupID        GroupID   `json:"group_id"`
	GroupName      string    `json:"group_name"`
	CreatedAt      Timestamp `json:"created_at"`
	HistoryStorage int       `json:"history_storage"`         // 0 or HistoryDays
	HistorySince   Timestamp `json:"history_since,omitempty"` // when it was switched on
	HistoryUntil   Timestamp `json:"history_until,omitempty"` // when it was switched off last
	// DisappearingDays is how long messages are there, see [DisappearingDays].
	DisappearingDays int       `json:"disappearing_days,omitempty"`
	Members          []Member  `json:"members"` // the longest-standing first
	Changed          MessageID `json:"changed"` // the id of the last change
	// Pending is the last change as long as its members may not have heard of it.
	Pending *PendingChange `json:"pending,omitempty"`
}

// Member is one member of a [Group].
type Member struct {
	UserID UserID    `json:"user_id"`
	Role   Role      `json:"role"`
	Since  MessageID `json:"since"` // the id of the change that added them
}

// PendingChange is what has to be done after a change of a group was written:
// whoever reads the group does it before anything else.
type PendingChange struct {
	Updates []GroupChange `json:"updates"`        // for all members, in this order
	Gone    []Member      `json:"gone,omitempty"` // who was a member until then; they hear of it too
}

// Member finds a member.
func (g *Group) Member(u UserID) (Member, bool) {
	if i := g.index(u); i >= 0 {
		return g.Members[i], true
	}
	return Member{}, false
}

func (g *Group) index(u UserID) int {
	return slices.IndexFunc(g.Members, func(m Member) bool { return m.UserID == u })
}

// KeepsHistory says whether the group as such asked for history.
func (g *Group) KeepsHistory() bool { return g.HistoryStorage > 0 }

// Fits says whether the record can be stored: whether MaxGroupBytes hold it.
func (g *Group) Fits() bool {
	return len(g.Members) <= surelyFit || len(Encode(g)) <= MaxGroupBytes
}

// ShowsReceipts says whether members are shown each receipt of the others as it
// arises, and who types: in a larger group a message would come back as two frames
// of everybody, and so they ask for counts.
func (g *Group) ShowsReceipts() bool { return len(g.Members) <= MaxReceiptMembers }

// SetHistory switches history on or off; now becomes history_since where it is
// switched on, and history_until where it is switched off.
func (g *Group) SetHistory(days int, now Timestamp) {
	switch {
	case days == 0 && g.KeepsHistory():
		g.HistorySince, g.HistoryUntil = 0, now
	case !g.KeepsHistory():
		g.HistorySince = now
	}
	g.HistoryStorage = days
}

// SetRole gives a member, who is there, another role. Who makes another member the
// owner is an admin from then on.
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

// Remove takes a member, who is there, out. Where that was the owner, the
// longest-standing admin is it now, or else the longest-standing member; heir is
// empty where ownership stays or nobody is left.
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

// GroupChangeKind says what happened to a group.
type GroupChangeKind string

// Values of GroupChangeKind.
const (
	GroupCreated      GroupChangeKind = "created"
	GroupRenamed      GroupChangeKind = "renamed"
	GroupHistory      GroupChangeKind = "history"      // switched on or off
	GroupAdded        GroupChangeKind = "added"        // user_id
	GroupRemoved      GroupChangeKind = "removed"      // user_id, by somebody else
	GroupLeft         GroupChangeKind = "left"         // user_id
	GroupRole         GroupChangeKind = "role"         // of user_id
	GroupDisappearing GroupChangeKind = "disappearing" // how long messages are there
)

// GroupChange is one change of a group as an inbox entry has it. Messages that
// were sent after it have a larger message_id.
type GroupChange struct {
	MessageID        MessageID       `json:"message_id"`
	GroupID          GroupID         `json:"group_id"`
	Change           GroupChangeKind `json:"change"`
	ByUserID         UserID          `json:"by_user_id"`
	UserID           UserID          `json:"user_id,omitempty"`           // whom it happened to, where that is one person
	Role             Role            `json:"role,omitempty"`              // which that person has since then
	GroupName        string          `json:"group_name"`                  // since then
	HistoryStorage   int             `json:"history_storage,omitempty"`   // since then
	DisappearingDays int             `json:"disappearing_days,omitempty"` // of messages sent since then
	Timestamp        Timestamp       `json:"timestamp"`
}

// Type of the frame that the entry becomes.
func (*GroupChange) Type() FrameType { return TypeGroupUpdate }

// StoredUpdate is an inbox entry: a group_update frame without its cursor. See
// [AppendCursor].
func (c *GroupChange) StoredUpdate() []byte { return EncodeFrame(c) }

// Membership is when a person was a member of a group, in bucket MEMBERSHIPS.
type Membership struct {
	Spans []Span `json:"spans"` // oldest first, at most MaxSpans
}

// Span is a time of membership, by the ids of the changes at its ends. One
// without an end says that the person was about to become a member: whether they
// are, the group says.
type Span struct {
	From MessageID `json:"from"`
	To   MessageID `json:"to,omitempty"`
}

// MaxSpans bounds Membership.Spans: the oldest go, and those that history does
// not reach back to.
const MaxSpans = 64

// Open begins a span, in place of one that began and never came to be.
func (m Membership) Open(from MessageID) Membership {
	return Membership{Spans: append(m.closed(), Span{From: from})}
}

// Close says that the person was a member in s. A span that was opened later
// stays open. It may be called again.
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

// IsOpen says whether a span has no end.
func (m Membership) IsOpen() bool {
	return slices.ContainsFunc(m.Spans, func(s Span) bool { return s.To == "" })
}

func (m Membership) closed() []Span {
	return slices.DeleteFunc(slices.Clone(m.Spans), func(s Span) bool { return s.To == "" })
}

// Seen are the spans of a person in a group, which may be nil: the times that are
// over, and the present one by the group itself.
func (m Membership) Seen(u UserID, g *Group) []Span {
	spans := m.closed()
	if g == nil {
		return spans
	}
	if g.Pending != nil { // not yet among those that are over
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

// Has says whether a message of that id was sent within the span.
func (s Span) Has(id MessageID) bool { return id > s.From && (s.To == "" || id < s.To) }
