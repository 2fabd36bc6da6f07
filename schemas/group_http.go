package schemas

// The bodies of /groups.

// NewGroup is the body of POST /groups.
type NewGroup struct {
	GroupName        string   `json:"group_name"`
	Members          []UserID `json:"members,omitempty"`           // without the creator
	HistoryStorage   int      `json:"history_storage,omitempty"`   // 0 or HistoryDays
	DisappearingDays int      `json:"disappearing_days,omitempty"` // see [DisappearingDays]
}

// Validate checks the form of all fields.
func (n *NewGroup) Validate(creator UserID) *Error {
	if e := validateGroupName(n.GroupName); e != nil {
		return e
	}
	if e := validateHistoryStorage(n.HistoryStorage); e != nil {
		return e
	}
	if e := validateDisappearingDays(n.DisappearingDays); e != nil {
		return e
	}
	seen := map[UserID]bool{creator: true}
	for _, u := range n.Members {
		if _, err := ParseUserID(string(u)); err != nil {
			return InvalidField("members", "%v.", err)
		}
		if seen[u] {
			return InvalidField("members", "has %q twice. The creator is a member without being listed.", clip(string(u)))
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

// Validate checks the fields that are set.
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
		return InvalidField("history_storage", "must be 0 or %d.", HistoryDays)
	}
	return nil
}

// NewMember is the body of POST /groups/{group_id}/members.
type NewMember struct {
	UserID UserID `json:"user_id"`
	Role   Role   `json:"role,omitempty"` // default: RoleMember
}

// Validate checks the form of both fields.
func (n *NewMember) Validate() *Error {
	if _, err := ParseUserID(string(n.UserID)); err != nil {
		return InvalidField("user_id", "%v.", err)
	}
	if n.Role != "" && n.Role != RoleMember && n.Role != RoleAdmin {
		return InvalidField("role", "must be %q or %q. A group has one owner, who can make another member the owner.", RoleMember, RoleAdmin)
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
		return InvalidField("role", "must be %q, %q or %q.", RoleOwner, RoleAdmin, RoleMember)
	}
	return nil
}

// GroupInfo is a group as its members see it. It answers every request for a group.
type GroupInfo struct {
	GroupID          GroupID       `json:"group_id"`
	GroupName        string        `json:"group_name"`
	CreatedAt        Timestamp     `json:"created_at"`
	HistoryStorage   int           `json:"history_storage"`
	DisappearingDays int           `json:"disappearing_days"`
	Members          []GroupMember `json:"members"` // in the order in which they joined
}

// GroupMember is one member of a [GroupInfo].
type GroupMember struct {
	UserID UserID    `json:"user_id"`
	Role   Role      `json:"role"`
	Since  Timestamp `json:"since"`
}

// Info returns the group as its members see it.
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
	Role             Role      `json:"role"` // of the caller
}

// Summary returns the group for the list of member m.
func (g *Group) Summary(m Member) GroupSummary {
	return GroupSummary{GroupID: g.GroupID, GroupName: g.GroupName, CreatedAt: g.CreatedAt,
		HistoryStorage: g.HistoryStorage, DisappearingDays: g.DisappearingDays, MemberCount: len(g.Members), Role: m.Role}
}

// GroupReceipts answers GET /groups/{group_id}/receipts: how many receivers have a message of
// the caller, and the watermarks of each.
type GroupReceipts struct {
	MessageID MessageID      `json:"message_id"`
	Members   int            `json:"members"`   // the receivers who are members now, without the caller
	Delivered int            `json:"delivered"` // how many of them have received it
	Read      int            `json:"read"`      // how many of them have read it, as far as the caller may see
	Items     []GroupReceipt `json:"items"`     // one for each of them
}

// GroupReceipt has the watermarks of one member in the messages of a group.
type GroupReceipt struct {
	UserID        UserID    `json:"user_id"`
	DeliveredUpTo MessageID `json:"delivered_up_to,omitempty"`
	ReadUpTo      MessageID `json:"read_up_to,omitempty"`
}
