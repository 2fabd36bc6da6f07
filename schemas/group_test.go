package schemas_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"roost/schemas"
)

// groupOf returns a group with one member per role, in that order.
func groupOf(roles ...schemas.Role) *schemas.Group {
	g := &schemas.Group{GroupID: group, GroupName: "friends"}
	for i, r := range roles {
		g.Members = append(g.Members, schemas.Member{UserID: schemas.UserID(rune('a' + i)), Role: r, Since: first})
	}
	return g
}

func rolesOf(g *schemas.Group) string {
	var b strings.Builder
	for _, m := range g.Members {
		b.WriteString(string(m.UserID) + "=" + string(m.Role) + " ")
	}
	return strings.TrimSpace(b.String())
}

func TestGroupRemove(t *testing.T) {
	const owner, admin, member = schemas.RoleOwner, schemas.RoleAdmin, schemas.RoleMember
	tests := []struct {
		name  string
		roles []schemas.Role
		who   schemas.UserID
		heir  schemas.UserID
		left  string
	}{
		{"a member", []schemas.Role{owner, member, member}, "b", "", "a=owner c=member"},
		{"an admin", []schemas.Role{owner, admin}, "b", "", "a=owner"},
		{"the owner: an admin follows", []schemas.Role{owner, member, admin, admin}, "a", "c", "b=member c=owner d=admin"},
		{"the owner: a member follows", []schemas.Role{member, owner, member}, "b", "a", "a=owner c=member"},
		{"the last one", []schemas.Role{owner}, "a", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := groupOf(tt.roles...)
			if heir := g.Remove(tt.who); heir != tt.heir || rolesOf(g) != tt.left {
				t.Errorf("heir %q, left %q, want %q and %q", heir, rolesOf(g), tt.heir, tt.left)
			}
		})
	}
}

func TestGroupSetRole(t *testing.T) {
	g := groupOf(schemas.RoleOwner, schemas.RoleMember)
	if demoted := g.SetRole("b", schemas.RoleAdmin); demoted != "" || rolesOf(g) != "a=owner b=admin" {
		t.Errorf("%q: %s", demoted, rolesOf(g))
	}
	if demoted := g.SetRole("b", schemas.RoleOwner); demoted != "a" || rolesOf(g) != "a=admin b=owner" {
		t.Errorf("%q: %s", demoted, rolesOf(g))
	}
}

func TestGroupSetHistory(t *testing.T) {
	g := groupOf(schemas.RoleOwner)
	g.SetHistory(schemas.HistoryDays, now)
	g.SetHistory(schemas.HistoryDays, now+1)
	if !g.KeepsHistory() || g.HistorySince != now {
		t.Errorf("on: %+v", g)
	}
	if g.SetHistory(0, now+2); g.KeepsHistory() || g.HistorySince != 0 {
		t.Errorf("off: %+v", g)
	}
}

// at returns the id of a change n days after the first.
func at(n int) schemas.MessageID {
	const day = 24 * 60 * 60 * 1000
	return schemas.MessageIDAt(now + schemas.Timestamp(n*day))
}

func TestMembership(t *testing.T) {
	var m schemas.Membership
	m = m.Open(at(1)).Open(at(2)) // the second replaces the first
	if want := []schemas.Span{{From: at(2)}}; !reflect.DeepEqual(m.Spans, want) || !m.IsOpen() {
		t.Fatalf("opened: %+v", m)
	}
	for range 2 {
		m = m.Close(schemas.Span{From: at(2), To: at(3)})
		if want := []schemas.Span{{From: at(2), To: at(3)}}; !reflect.DeepEqual(m.Spans, want) || m.IsOpen() {
			t.Fatalf("closed: %+v", m)
		}
	}
	m = m.Open(at(4)).Close(schemas.Span{From: at(2), To: at(3)}) // again, and late
	if want := []schemas.Span{{From: at(2), To: at(3)}, {From: at(4)}}; !reflect.DeepEqual(m.Spans, want) {
		t.Fatalf("what was opened later: %+v", m)
	}
	if m = m.Close(schemas.Span{From: at(4), To: at(100)}); len(m.Spans) != 1 {
		t.Errorf("what history does not reach back to is kept: %+v", m)
	}
	for i := range 2 * schemas.MaxSpans {
		m = m.Close(schemas.Span{From: schemas.MessageIDAt(at(100).Time() + schemas.Timestamp(2*i)), To: schemas.MessageIDAt(at(100).Time() + schemas.Timestamp(2*i+1))})
	}
	if len(m.Spans) != schemas.MaxSpans {
		t.Errorf("%d spans", len(m.Spans))
	}
}

func TestMembershipSeen(t *testing.T) {
	over := schemas.Span{From: at(1), To: at(2)}
	m := schemas.Membership{Spans: []schemas.Span{over, {From: at(3)}}}
	in := &schemas.Group{Members: []schemas.Member{{UserID: "bob", Since: at(4)}}}
	out := &schemas.Group{Members: []schemas.Member{{UserID: "alice", Since: at(1)}}}
	going := &schemas.Group{Pending: &schemas.PendingChange{Gone: []schemas.Member{{UserID: "bob", Since: at(3)}},
		Updates: []schemas.GroupChange{{MessageID: at(5)}}}}
	tests := []struct {
		name string
		g    *schemas.Group
		want []schemas.Span
	}{
		{"deleted", nil, []schemas.Span{over}},
		{"a member now", in, []schemas.Span{over, {From: at(4)}}},
		{"never came to be", out, []schemas.Span{over}},
		{"taken out just now", going, []schemas.Span{over, {From: at(3), To: at(5)}}},
	}
	for _, tt := range tests {
		if got := m.Seen("bob", tt.g); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	for id, want := range map[schemas.MessageID]bool{at(1): false, at(1) + "1": true, at(2): false, at(3): false} {
		if got := over.Has(id); got != want {
			t.Errorf("%s within %+v: %v", id, over, got)
		}
	}
}

func TestGroupBodiesValidate(t *testing.T) {
	long := strings.Repeat("é", 64)
	tests := []struct {
		name   string
		schema string
		body   string
		field  string // empty: accepted
		looser string // why the schema still allows it
	}{
		{"all", "new_group", `{"group_name":"friends","members":["bob","carol"],"history_storage":90}`, "", ""},
		{"longest name", "new_group", `{"group_name":"` + long + `"}`, "", ""},
		{"nulls", "new_group", `{"group_name":"friends","members":null,"history_storage":null}`, "", ""},
		{"no name", "new_group", `{}`, "group_name", ""},
		{"empty name", "new_group", `{"group_name":""}`, "group_name", ""},
		{"blank name", "new_group", `{"group_name":" \n\t"}`, "group_name", ""},
		{"invisible name", "new_group", `{"group_name":"\u200b"}`, "group_name", ""},
		{"name of two lines", "new_group", `{"group_name":"a\nb"}`, "group_name", ""},
		{"name that changes the direction", "new_group", `{"group_name":"a\u202eb"}`, "group_name", ""},
		{"new invisible name", "group_patch", `{"group_name":"\u3164"}`, "group_name", ""},
		{"name too long", "new_group", `{"group_name":"` + long + `x"}`, "group_name", "it counts characters"},
		{"name is a number", "new_group", `{"group_name":7}`, "group_name", ""},
		{"a member twice", "new_group", `{"group_name":"friends","members":["bob","bob"]}`, "members", ""},
		{"oneself", "new_group", `{"group_name":"friends","members":["alice"]}`, "members", "it does not know who asks"},
		{"a group as a member", "new_group", `{"group_name":"friends","members":["g-bob"]}`, "members", ""},
		{"other days", "new_group", `{"group_name":"friends","history_storage":30}`, "history_storage", ""},
		{"nothing", "group_patch", `{}`, "", ""},
		{"nothing but null", "group_patch", `{"group_name":null,"history_storage":null}`, "", ""},
		{"both", "group_patch", `{"group_name":"friends","history_storage":0}`, "", ""},
		{"rename to nothing", "group_patch", `{"group_name":""}`, "group_name", ""},
		{"patch of other days", "group_patch", `{"history_storage":1}`, "history_storage", ""},
		{"member", "new_member", `{"user_id":"bob"}`, "", ""},
		{"member with no role", "new_member", `{"user_id":"bob","role":""}`, "", ""},
		{"admin", "new_member", `{"user_id":"bob","role":"admin"}`, "", ""},
		{"no user id", "new_member", `{"role":"admin"}`, "user_id", ""},
		{"a second owner", "new_member", `{"user_id":"bob","role":"owner"}`, "role", ""},
		{"owner", "role_change", `{"role":"owner"}`, "", ""},
		{"no role", "role_change", `{}`, "role", ""},
		{"unknown role", "role_change", `{"role":"king"}`, "role", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var e *schemas.Error
			switch tt.schema {
			case "new_group":
				var b schemas.NewGroup
				if e = schemas.DecodeBody(strings.NewReader(tt.body), &b); e == nil {
					e = b.Validate("alice")
				}
			case "group_patch":
				var b schemas.GroupPatch
				if e = schemas.DecodeBody(strings.NewReader(tt.body), &b); e == nil {
					e = b.Validate()
				}
			case "new_member":
				var b schemas.NewMember
				if e = schemas.DecodeBody(strings.NewReader(tt.body), &b); e == nil {
					e = b.Validate()
				}
			case "role_change":
				var b schemas.RoleChange
				if e = schemas.DecodeBody(strings.NewReader(tt.body), &b); e == nil {
					e = b.Validate()
				}
			}
			check(t, e, tt.field)
			if allowed := validate(schema(t, "http/"+tt.schema), []byte(tt.body)) == nil; allowed != (tt.field == "" || tt.looser != "") {
				t.Errorf("the schema allows it: %v, expected because: %q", allowed, tt.looser)
			}
		})
	}
}

func TestUpdateIsAnInboxEntry(t *testing.T) {
	entry := bobAdded.StoredUpdate()
	head, err := schemas.DecodeEntryHead(entry)
	if want := (schemas.EntryHead{Type: schemas.TypeGroupUpdate, MessageID: second, GroupID: group}); head != want || err != nil {
		t.Errorf("%+v, %v, want %+v", head, err, want)
	}
	frame := schemas.AppendCursor(nil, entry, cursor)
	if want := schemas.EncodeFrame(&schemas.GroupUpdate{GroupChange: bobAdded, Cursor: cursor}); string(frame) != string(want) {
		t.Errorf("the frame is not the one that EncodeFrame makes:\n%s\n%s", frame, want)
	}
}

// TestGroupFits: a group of MaxGroupMembers fits if its ids have a usual length. A smaller group
// does not fit if every id has the maximum length.
func TestGroupFits(t *testing.T) {
	id := func(n int) schemas.MessageID { return schemas.MessageIDAt(schemas.Timestamp(n + 1)) }
	made := func(n, length int) *schemas.Group {
		g := friends
		g.Members = nil
		for i := range n {
			user := fmt.Sprintf("%0*d", length, i)
			g.Members = append(g.Members, schemas.Member{UserID: schemas.UserID(user), Role: schemas.RoleMember, Since: id(i)})
		}
		return &g
	}
	for _, c := range []struct {
		members, length int
		fits            bool
	}{{schemas.MaxGroupMembers, 32, true}, {2048, 128, true}, {schemas.MaxGroupMembers, 128, false}} {
		if got := made(c.members, c.length).Fits(); got != c.fits {
			t.Errorf("%d members with ids of %d bytes: %v", c.members, c.length, got)
		}
	}
}
