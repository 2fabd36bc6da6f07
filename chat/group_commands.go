package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"roost/client"
	"roost/schemas"
)

// A change of a group shows when its group_update comes, as it does for everybody
// else in it.
func groupCommands() []chatCommand {
	return []chatCommand{
		{"/group list", "", "your groups", 0, 0, (*chat).groupList},
		{"/group create", "NAME", "make a group, and write to it", 1, -1, (*chat).groupCreate},
		{"/group open", "NAME", "write to one of your groups", 1, -1, (*chat).groupOpen},
		{"/group members", "", "who is in the group you write to", 0, 0, (*chat).groupMembers},
		{"/group add", "USER ...", "", 1, -1, (*chat).groupAdd},
		{"/group remove", "USER", "", 1, 1, (*chat).groupRemove},
		{"/group role", "USER ROLE", "member, admin, or owner in your place", 2, 2, (*chat).groupRole},
		{"/group rename", "NAME", "", 1, -1, (*chat).groupRename},
		{"/group history", "on|off", "store 90 days for its members", 1, 1, (*chat).groupHistory},
		{"/group leave", "", "", 0, 0, (*chat).groupLeave},
	}
}

var errNoGroup = errors.New("you write to no group; /group open NAME comes first")

// inGroup makes a request about the group that the person writes to.
func (c *chat) inGroup(ctx context.Context, request func(context.Context, *client.API, schemas.GroupID) error) error {
	if c.peer.Group == "" {
		return errNoGroup
	}
	return c.account.call(ctx, func(ctx context.Context, api *client.API) error { return request(ctx, api, c.peer.Group) })
}

// loadGroups reads the person's groups, and learns their names.
func (c *chat) loadGroups(ctx context.Context) (groups []schemas.GroupSummary, err error) {
	err = c.account.call(ctx, func(ctx context.Context, api *client.API) (err error) {
		groups, err = api.Groups(ctx)
		return err
	})
	for _, g := range groups {
		c.groups[g.GroupID] = g.GroupName
		c.timers[schemas.Participant{Group: g.GroupID}] = g.DisappearingDays
	}
	return groups, err
}

func (c *chat) groupList(ctx context.Context, _ chatArgs) error {
	groups, err := c.loadGroups(ctx)
	if err != nil {
		return err
	}
	if len(groups) == 0 {
		c.screen.line("You are in no group. /group create NAME makes one.")
	}
	for _, g := range groups {
		more := ""
		if g.HistoryStorage > 0 {
			more = ", stores history"
		}
		if g.DisappearingDays > 0 {
			more += ", messages " + fate(g.DisappearingDays)
		}
		members := fmt.Sprintf("%d members", g.MemberCount)
		if g.MemberCount == 1 {
			members = "1 member"
		}
		c.screen.line("%s  %s, %s, you are %s%s", g.GroupID, clean(g.GroupName), members, roleName(g.Role), more)
	}
	return nil
}

func (c *chat) groupCreate(ctx context.Context, args chatArgs) error {
	var group schemas.GroupInfo
	err := c.account.create(ctx, func(ctx context.Context, api *client.API) (err error) {
		group, err = api.CreateGroup(ctx, schemas.NewGroup{GroupName: args.text})
		return err
	})
	if err != nil {
		return err
	}
	c.groups[group.GroupID] = group.GroupName
	c.open(ctx, schemas.Participant{Group: group.GroupID})
	return nil
}

func (c *chat) groupOpen(ctx context.Context, args chatArgs) error {
	groups, err := c.loadGroups(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, g := range groups {
		if g.GroupName == args.text || string(g.GroupID) == args.text {
			ids = append(ids, string(g.GroupID))
		}
	}
	switch len(ids) {
	case 0:
		return fmt.Errorf("you are in no group %s; /group list shows yours", clean(args.text))
	case 1:
		c.open(ctx, schemas.Participant{Group: schemas.GroupID(ids[0])})
		return nil
	}
	return fmt.Errorf("several of your groups have that name; /group open ID with one of %s", strings.Join(ids, ", "))
}

func (c *chat) groupMembers(ctx context.Context, _ chatArgs) error {
	return c.inGroup(ctx, func(ctx context.Context, api *client.API, id schemas.GroupID) error {
		group, err := api.Group(ctx, id)
		for _, m := range group.Members {
			c.screen.line("%s, %s, since %s", clean(string(m.UserID)), roleName(m.Role), m.Since.Time().Format("2006-01-02"))
		}
		return err
	})
}

func (c *chat) groupAdd(ctx context.Context, args chatArgs) error {
	users, err := parseUsers(args.words)
	if err != nil {
		return err
	}
	for _, user := range users {
		err := c.inGroup(ctx, func(ctx context.Context, api *client.API, id schemas.GroupID) error {
			_, err := api.AddMember(ctx, id, user, "")
			return err
		})
		if err != nil && err != errNoGroup {
			err = fmt.Errorf("%s: %w", clean(string(user)), explain(err))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *chat) groupRemove(ctx context.Context, args chatArgs) error {
	user, err := schemas.ParseUserID(args.words[0])
	if err != nil {
		return err
	}
	return c.inGroup(ctx, func(ctx context.Context, api *client.API, id schemas.GroupID) error {
		return api.RemoveMember(ctx, id, user)
	})
}

func (c *chat) groupLeave(ctx context.Context, _ chatArgs) error {
	return c.inGroup(ctx, func(ctx context.Context, api *client.API, id schemas.GroupID) error {
		return api.RemoveMember(ctx, id, c.client.Welcome().UserID)
	})
}

func (c *chat) groupRole(ctx context.Context, args chatArgs) error {
	user, err := schemas.ParseUserID(args.words[0])
	if err != nil {
		return err
	}
	return c.inGroup(ctx, func(ctx context.Context, api *client.API, id schemas.GroupID) error {
		_, err := api.ChangeRole(ctx, id, user, schemas.Role(args.words[1]))
		return err
	})
}

func (c *chat) groupRename(ctx context.Context, args chatArgs) error {
	return c.groupChange(ctx, schemas.GroupPatch{GroupName: &args.text})
}

func (c *chat) groupHistory(ctx context.Context, args chatArgs) error {
	days, err := parseHistory(args.words[0])
	if err != nil {
		return err
	}
	return c.groupChange(ctx, schemas.GroupPatch{HistoryStorage: days})
}

func (c *chat) groupChange(ctx context.Context, change schemas.GroupPatch) error {
	return c.inGroup(ctx, func(ctx context.Context, api *client.API, id schemas.GroupID) error {
		_, err := api.ChangeGroup(ctx, id, change)
		return err
	})
}

// groupUpdated shows a change of a group.
func (c *chat) groupUpdated(u client.GroupUpdate) {
	group := schemas.Participant{Group: u.GroupID}
	before := c.name(group)
	c.groups[u.GroupID], c.timers[group] = u.GroupName, u.DisappearingDays
	now := c.name(group)
	by, whom := c.who(u.ByUserID), c.who(u.UserID)
	what := ""
	switch u.Change {
	case schemas.GroupCreated:
		what = fmt.Sprintf("%s made the group %s", by, now)
	case schemas.GroupRenamed:
		what = fmt.Sprintf("%s renamed %s to %s", by, before, now)
	case schemas.GroupHistory:
		what = fmt.Sprintf("%s switched the history of %s %s", by, now, onOff(u.HistoryStorage > 0))
	case schemas.GroupDisappearing:
		what = fmt.Sprintf("%s chose: messages in %s %s", by, now, fate(u.DisappearingDays))
	case schemas.GroupAdded:
		what = fmt.Sprintf("%s added %s to %s", by, whom, now)
		if u.UserID == c.client.Welcome().UserID {
			what += "; /group open " + now
		}
	case schemas.GroupRemoved:
		what = fmt.Sprintf("%s removed %s from %s", by, whom, now)
	case schemas.GroupLeft:
		what = fmt.Sprintf("%s left %s", whom, now)
	case schemas.GroupRole:
		what = fmt.Sprintf("%s made %s %s of %s", by, whom, roleName(u.Role), now)
		if u.UserID == u.ByUserID { // who gave the group away
			what = fmt.Sprintf("%s %s of %s now", c.is(u.UserID), roleName(u.Role), now)
		}
	default:
		what = fmt.Sprintf("%s changed %s", by, now)
	}
	c.screen.line("[%s] * %s", clock(u.Timestamp), what)
	if u.GroupID == c.peer.Group {
		c.prompt()
	}
}

func (c *chat) who(user schemas.UserID) string {
	if user == c.client.Welcome().UserID {
		return "you"
	}
	return clean(string(user))
}

// is begins what somebody is.
func (c *chat) is(user schemas.UserID) string {
	if user == c.client.Welcome().UserID {
		return "you are"
	}
	return clean(string(user)) + " is"
}

func roleName(r schemas.Role) string {
	switch r {
	case schemas.RoleOwner:
		return "the owner"
	case schemas.RoleAdmin:
		return "an admin"
	}
	return "a " + clean(string(r))
}

func parseUsers(names []string) ([]schemas.UserID, error) {
	var users []schemas.UserID
	for _, name := range names {
		user, err := schemas.ParseUserID(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", clean(name), err)
		}
		if !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users, nil
}
