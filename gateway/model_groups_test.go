package gateway_test

import (
	"fmt"
	"slices"

	"roost/schemas"
)

// The steps of TestModel that are of messages and groups.

const maxTeams = 3

// post sends a message, and waits for its answer or not.
func (s *story) post(d *phone, to *user, g *team) {
	n := schemas.ClientMessageID(len(d.sent) + 1)
	e := &entry{what: fmt.Sprintf("%d of %s", n, d.id), from: d, to: to, team: g, done: never}
	e.frame = &schemas.SendMessage{Content: e.what, MessageIDByClient: n, Timestamp: schemas.Now()}
	if g != nil {
		e.frame.GroupID = g.id
	} else {
		e.frame.ReceiverID = to.id
	}
	d.sent, s.entries = append(d.sent, e), append(s.entries, e)
	s.goOut(e)
}

func (s *story) goOut(e *entry) {
	s.begin(e)
	s.write(e.on, e.frame)
	if s.chance("wait", 2) {
		s.answer(e)
	}
}

func (s *story) answer(e *entry) {
	s.until(e.on, "an answer to "+e.String(), func() bool { return !e.waits })
}

func (s *story) send() {
	d := one(s, "from", s.phones(connected))
	for range 1 + s.pick("more", 3) {
		s.post(d, one(s, "to", s.people), nil)
	}
}

// shout sends to a group, also of one that the sender is no member of.
func (s *story) shout() {
	g := one(s, "group", s.teams)
	s.post(one(s, "from", s.phones(connected)), nil, g)
}

// retry sends one of the last numbers of a device again.
func (s *story) retry() {
	d := one(s, "from", s.phones(func(d *phone) bool { return d.now != nil && len(d.sent) > 0 }))
	e := d.sent[len(d.sent)-1-s.pick("which", min(2, len(d.sent)))]
	if e.waits {
		s.r.SkipNow()
	}
	s.goOut(e)
}

func (s *story) newTeam(owner *user, members []*user) {
	g := &team{name: fmt.Sprint("team", len(s.teams)), clocks: len(s.w.houses), times: make(map[*user][]span)}
	body := schemas.NewGroup{GroupName: g.name}
	for _, p := range members {
		body.Members = append(body.Members, p.id)
	}
	s.alter(g, func() string {
		g.id = data[schemas.GroupInfo](s.w.t, s.request(owner, "POST", "/groups", string(schemas.Encode(body)))).GroupID
		g.members = append(g.members, member{owner, schemas.RoleOwner})
		for _, p := range members {
			g.members = append(g.members, member{p, schemas.RoleMember})
		}
		return "created"
	}, owner)
	s.teams = append(s.teams, g)
}

// alter makes a change of a group, and takes down whom it is told and who is a
// member since, or was one until then.
func (s *story) alter(g *team, do func() string, by *user) {
	before, asked := g.people(), s.tick()
	what := do()
	now := g.people()
	done := s.tick()
	told := slices.Clone(before)
	for _, p := range now {
		if !slices.Contains(before, p) {
			told = append(told, p)
			g.times[p] = append(g.times[p], since(asked, done))
		}
	}
	for _, p := range before {
		if !slices.Contains(now, p) {
			g.times[p][len(g.times[p])-1].end(asked, done)
		}
	}
	s.tell(g, &entry{what: what, told: told}, asked, by)
}

func (s *story) tell(g *team, e *entry, asked moment, by *user) {
	e.what, e.team, e.done = changeText(g.id, e.what, by.id, g.name), g, s.now
	e.attempts = []attempt{{asked, s.now}}
	s.entries = append(s.entries, e)
	s.note("%d: %s", s.now, e)
}

func (g *team) people() (all []*user) {
	for _, m := range g.members {
		all = append(all, m.user)
	}
	return all
}

func (g *team) owner() *user {
	return g.members[slices.IndexFunc(g.members, func(m member) bool { return m.role == schemas.RoleOwner })].user
}

func (s *story) group() {
	if len(s.teams) >= maxTeams {
		s.r.SkipNow()
	}
	owner := one(s, "owner", s.people)
	var others []*user
	for _, p := range s.people {
		if p != owner && s.chance("member", 2) {
			others = append(others, p)
		}
	}
	s.newTeam(owner, others)
}

// alive are the groups that have members left.
func (s *story) alive() []*team {
	return slices.DeleteFunc(slices.Clone(s.teams), func(g *team) bool { return len(g.members) == 0 })
}

func (s *story) add() {
	g := one(s, "group", s.alive())
	p := one(s, "whom", slices.DeleteFunc(slices.Clone(s.people), func(p *user) bool { return slices.Contains(g.people(), p) }))
	role := []schemas.Role{schemas.RoleMember, schemas.RoleAdmin}[s.pick("role", 2)]
	if len(g.times[p]) > 0 {
		s.newName(g) // so that what is told of it is told once
	}
	owner := g.owner()
	s.alter(g, func() string {
		s.request(owner, "POST", "/groups/"+string(g.id)+"/members", fmt.Sprintf(`{"user_id":%q,"role":%q}`, p.id, role))
		g.members = append(g.members, member{p, role})
		return fmt.Sprintf("added %s %s", p.id, role)
	}, owner)
}

// remove has the owner remove somebody, or anybody leave.
func (s *story) remove() {
	g := one(s, "group", s.alive())
	m := one(s, "whom", g.members)
	by, change := m.user, "left"
	if m.role != schemas.RoleOwner && s.chance("by the owner", 2) {
		by, change = g.owner(), "removed"
	}
	s.alter(g, func() string {
		s.request(by, "DELETE", "/groups/"+string(g.id)+"/members/"+string(m.id), "")
		g.members = slices.DeleteFunc(slices.Clone(g.members), func(other member) bool { return other.user == m.user })
		return fmt.Sprintf("%s %s", change, m.id)
	}, by)
	if m.role != schemas.RoleOwner || len(g.members) == 0 {
		return
	}
	heir := max(0, slices.IndexFunc(g.members, func(m member) bool { return m.role == schemas.RoleAdmin }))
	g.members[heir].role = schemas.RoleOwner
	left := s.entries[len(s.entries)-1] // both are answered at once, and told in this order
	s.tell(g, &entry{what: fmt.Sprintf("role %s owner", g.members[heir].id), told: left.told}, s.tick(), by)
}

func (s *story) rename() { s.newName(one(s, "group", s.alive())) }

func (s *story) newName(g *team) {
	owner := g.owner()
	s.alter(g, func() string {
		g.name = fmt.Sprintf("team renamed at %d", s.now)
		s.request(owner, "PATCH", "/groups/"+string(g.id), fmt.Sprintf(`{"group_name":%q}`, g.name))
		return "renamed"
	}, owner)
}
