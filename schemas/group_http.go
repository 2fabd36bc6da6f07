package schemas

// The bodies of /groups.

// NewGroup is the body of POST /groups.
type NewGroup struct {
	GroupName        string   `json:"group_name"`
	Members          []UserID `json:"members,omitempty"`           // besides the one who asks
	HistoryStorage   int      `json:"history_storage,omitempty"`   // 0 or HistoryDays
	DisappearingDays int      `json:"disappearing_days,omitempty"` // see [DisappearingDays]
}

// Validate checks the form of all fields; by is who asks.
func (n *NewGroup) Validate(by UserID) *Error {
	if e := validateGroupName(n.GroupName); e != nil {
		return e
	}
	if e := validateHistoryStorage(n.HistoryStorage); e != nil {
		return e
	}
	if e := validateDisappearingDays(n.DisappearingDays); e != nil {
		return e
	}
	seen := map[UserID]bool{by: true}
	for _, u := range n.Members {
		if _, err := ParseUserID(string(u)); err != nil {
			return InvalidField("members", "%v.", err)
		}
		if seen[u] {
			return InvalidField("members", "names %q twice; you yourself are a member without being named.", clip(string(u)))
		}
		seen[u] = true
	}
	return nil
}

// GroupPatch is the body of PATCH /groups/{group_id}: any subset of the fields.
type GroupPatch struct {
	GroupName        *string `json:"group_name,omitempty"`
	HistoryStorage   *int    `json:"history_storage,omitempty"`
	DisappearingDays *int    `json:"disappearing_days,omitempty"`
}

// Validate checks the fields that are there.
func (p *GroupPatch) Validate() *Error {
	if p.GroupName != nil {
		if e := validateGroupName(*p.GroupName); e != nil {
			return e
		}
	}
	if p.HistoryStorage != nil {
		if e := validateHistoryStorage(*p.HistoryStorage); e != nil {
			return e
		}
	}
	if p.DisappearingDays != nil {
		return validateDisappearingDays(*p.DisappearingDays)
	}
	return nil
}

func validateGroupName(name string) *Error {
	return ValidateName("group_name", name, MaxGroupNameBytes)
}

func validateHistoryStorage(days int) *Error {
	if days != 0 && days != HistoryDays {
		return InvalidField("history_storage", "is 0 or %d.", HistoryDays)
	}
	return nil
}

// NewMember is the body of POST /groups/{group_id}/members.
type NewMember struct {
	UserID UserID `json:"user_id"`
	Role   Role   `json:"role,omitempty"` // RoleMember unless said
}

// Validate checks the form of both fields.
func (n *NewMember) Validate() *Error {
	if _, err := ParseUserID(string(n.UserID)); err != nil {
		return InvalidField("user_id", "%v.", err)
	}
	if n.Role != "" && n.Role != RoleMember && n.Role != RoleAdmin {
		return InvalidField("role", "is %q or %q; a group has one owner, who can make another member the owner.", RoleMember, RoleAdmin)
	}
	return nil
}

// RoleChange is the body of PATCH /groups/{group_id}/members/{user_id}.
type RoleChange struct {
	Role Role `json:"role"`
}

// Validate checks the role.
func (c *RoleChange) Validate() *Error {
	if c.Role != RoleOwner && c.Role != RoleAdmin && c.Role != RoleMember {
		return InvalidField("role", "is %q, %q or %q.", RoleOwner, RoleAdmin, RoleMember)
	}
	return nil
}

// GroupInfo is a group as a member sees it: the answer to every request for one.
type GroupInfo struct {
	GroupID          GroupID       `json:"group_id"`
	GroupName        string        `json:"group_name"`
	CreatedAt        Timestamp     `json:"created_at"`
	HistoryStorage   int           `json:"history_storage"`
	DisappearingDays int           `json:"disappearing_days"`
	Members          []GroupMember `json:"members"` // the longest-standing first
}

// GroupMember is one member of a [GroupInfo].
type GroupMember struct {
	UserID UserID    `json:"user_id"`
	Role   Role      `json:"role"`
	Since  Timestamp `json:"since"`
}

// Info is what members see of the group.
func (g *Group) Info() GroupInfo {
	info := GroupInfo{GroupID: g.GroupID, GroupName: g.GroupName, CreatedAt: g.CreatedAt,
		HistoryStorage: g.HistoryStorage, DisappearingDays: g.DisappearingDays, Members: make([]GroupMember, 0, len(g.Members))}
	for _, m := range g.Members {
		info.Members = append(info.Members, GroupMember{UserID: m.UserID, Role: m.Role, Since: m.Since.Time()})
	}
	return info
}

// GroupSummary is one group in the answer to GET /groups.
type GroupSummary struct {
	GroupID          GroupID   `json:"group_id"`
	GroupName        string    `json:"group_name"`
	CreatedAt        Timestamp `json:"created_at"`
	HistoryStorage   int       `json:"history_storage"`
	DisappearingDays int       `json:"disappearing_days"`
	MemberCount      int       `json:"member_count"`
	Role             Role      `json:"role"` // of the one who asks
}

// Summary is the group in the list of a member.
func (g *Group) Summary(m Member) GroupSummary {
	return GroupSummary{GroupID: g.GroupID, GroupName: g.GroupName, CreatedAt: g.CreatedAt,
		HistoryStorage: g.HistoryStorage, DisappearingDays: g.DisappearingDays, MemberCount: len(g.Members), Role: m.Role}
}

// GroupReceipts answers GET /groups/{group_id}/receipts: how many of those whom a
// message of the caller went to have it, and how far each of them is.
type GroupReceipts struct {
	MessageID MessageID      `json:"message_id"`
	Members   int            `json:"members"`   // of now whom the message went to, besides the caller
	Delivered int            `json:"delivered"` // of them
	Read      int            `json:"read"`      // of them, as far as the caller may see
	Items     []GroupReceipt `json:"items"`     // one each
}

// GroupReceipt is how far one member is in the messages of a group.
type GroupReceipt struct {
	UserID        UserID    `json:"user_id"`
	DeliveredUpTo MessageID `json:"delivered_up_to,omitempty"`
	ReadUpTo      MessageID `json:"read_up_to,omitempty"`
}
