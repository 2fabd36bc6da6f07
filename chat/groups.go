package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"roost/client"
	"roost/schemas"
)

var errNoGroup = errors.New("no group is open; /group open NAME opens one")

// groups has the commands about groups. The user sees a change when its group_update
// comes, as every other member does.
type groups struct {
	account *account
	screen  *screen
	view    *view
	chats   *chats
	open    *openChat
}

func (g *groups) commands() []command {
	return []command{
		{"/group list", "", "your groups", 0, 0, g.list},
		{"/group create", "NAME", "create a group and open it", 1, -1, g.create},
		{"/group open", "NAME", "open one of your groups", 1, -1, g.openGroup},
		{"/group members", "", "the members of the open group", 0, 0, g.members},
		{"/group add", "USER ...", "add members", 1, -1, g.add},
		{"/group remove", "USER", "remove a member", 1, 1, g.remove},
		{"/group role", "USER ROLE", "member, admin, or owner in your place", 2, 2, g.role},
		{"/group rename", "NAME", "rename the group", 1, -1, g.rename},
		{"/group history", "on|off", "store 90 days for its members", 1, 1, g.history},
		{"/group leave", "", "leave the group", 0, 0, g.leave},
	}
}

// inOpen makes a request about the open group.
func (g *groups) inOpen(ctx context.Context, request func(context.Context, *client.API, schemas.GroupID) error) error {
	if g.open.peer.Group == "" {
		return errNoGroup
	}
	return g.account.call(ctx, func(ctx context.Context, api *client.API) error { return request(ctx, api, g.open.peer.Group) })
}

func (g *groups) list(ctx context.Context, _ args) error {
	all, err := g.chats.loadGroups(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		g.screen.line("You are in no group. /group create NAME makes one.")
	}
	for _, group := range all {
		more := ""
		if group.HistoryStorage > 0 {
			more = ", stores history"
		}
		if group.DisappearingDays > 0 {
			more += ", messages " + disappearing(group.DisappearingDays)
		}
		members := fmt.Sprintf("%d members", group.MemberCount)
		if group.MemberCount == 1 {
			members = "1 member"
		}
		g.screen.line("%s  %s, %s, you are %s%s", group.GroupID, clean(group.GroupName), members, roleName(group.Role), more)
	}
	return nil
}

func (g *groups) create(ctx context.Context, args args) error {
	var group schemas.GroupInfo
	err := g.account.create(ctx, func(ctx context.Context, api *client.API) (err error) {
		group, err = api.CreateGroup(ctx, schemas.NewGroup{GroupName: args.text})
		return err
	})
	if err != nil {
		return err
	}
	g.chats.names[group.GroupID] = group.GroupName
	g.open.switchTo(ctx, schemas.Participant{Group: group.GroupID})
	return nil
}

func (g *groups) openGroup(ctx context.Context, args args) error {
	all, err := g.chats.loadGroups(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, group := range all {
		if group.GroupName == args.text || string(group.GroupID) == args.text {
			ids = append(ids, string(group.GroupID))
		}
	}
	switch len(ids) {
	case 0:
		return fmt.Errorf("you are in no group %s; /group list shows yours", clean(args.text))
	case 1:
		g.open.switchTo(ctx, schemas.Participant{Group: schemas.GroupID(ids[0])})
		return nil
	}
	return fmt.Errorf("several of your groups have that name; /group open ID with one of %s", strings.Join(ids, ", "))
}

func (g *groups) members(ctx context.Context, _ args) error {
	return g.inOpen(ctx, func(ctx context.Context, api *client.API, id schemas.GroupID) error {
		group, err := api.Group(ctx, id)
		for _, m := range group.Members {
			g.screen.line("%s, %s, since %s", clean(string(m.UserID)), roleName(m.Role), day(m.Since))
		}
		return err
	})
}

func (g *groups) add(ctx context.Context, args args) error {
	users, err := parseUsers(args.words)
	if err != nil {
		return err
	}
	for _, user := range users {
		err := g.inOpen(ctx, func(ctx context.Context, api *client.API, id schemas.GroupID) error {
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

func (g *groups) remove(ctx context.Context, args args) error {
	user, err := schemas.ParseUserID(args.words[0])
	if err != nil {
		return err
	}
	return g.inOpen(ctx, func(ctx context.Context, api *client.API, id schemas.GroupID) error {
		return api.RemoveMember(ctx, id, user)
	})
}

func (g *groups) leave(ctx context.Context, _ args) error {
	return g.inOpen(ctx, func(ctx context.Context, api *client.API, id schemas.GroupID) error {
		return api.RemoveMember(ctx, id, g.view.me)
	})
}

func (g *groups) role(ctx context.Context, args args) error {
	user, err := schemas.ParseUserID(args.words[0])
	if err != nil {
		return err
	}
	return g.inOpen(ctx, func(ctx context.Context, api *client.API, id schemas.GroupID) error {
		_, err := api.ChangeRole(ctx, id, user, schemas.Role(args.words[1]))
		return err
	})
}

func (g *groups) rename(ctx context.Context, args args) error {
	return g.change(ctx, schemas.GroupPatch{GroupName: &args.text})
}

func (g *groups) history(ctx context.Context, args args) error {
	days, err := parseHistory(args.words[0])
	if err != nil {
		return err
	}
	return g.change(ctx, schemas.GroupPatch{HistoryStorage: days})
}

func (g *groups) change(ctx context.Context, change schemas.GroupPatch) error {
	return g.inOpen(ctx, func(ctx context.Context, api *client.API, id schemas.GroupID) error {
		_, err := api.ChangeGroup(ctx, id, change)
		return err
	})
}

// updated shows a change of a group, of this user or another.
func (g *groups) updated(u client.GroupUpdate) {
	group := schemas.Participant{Group: u.GroupID}
	before := g.view.chat(group)
	g.chats.setGroup(u.GroupID, u.GroupName, u.DisappearingDays)
	now := g.view.chat(group)
	by, whom := g.view.user(u.ByUserID), g.view.user(u.UserID)
	what := ""
	switch u.Change {
	case schemas.GroupCreated:
		what = fmt.Sprintf("%s created the group %s", by, now)
	case schemas.GroupRenamed:
		what = fmt.Sprintf("%s renamed %s to %s", by, before, now)
	case schemas.GroupHistory:
		what = fmt.Sprintf("%s switched the history of %s %s", by, now, onOff(u.HistoryStorage > 0))
	case schemas.GroupDisappearing:
		what = fmt.Sprintf("%s chose: messages in %s %s", by, now, disappearing(u.DisappearingDays))
	case schemas.GroupAdded:
		what = fmt.Sprintf("%s added %s to %s", by, whom, now)
		if u.UserID == g.view.me {
			what += "; /group open " + now
		}
	case schemas.GroupRemoved:
		what = fmt.Sprintf("%s removed %s from %s", by, whom, now)
	case schemas.GroupLeft:
		what = fmt.Sprintf("%s left %s", whom, now)
	case schemas.GroupRole:
		what = fmt.Sprintf("%s made %s %s of %s", by, whom, roleName(u.Role), now)
		if u.UserID == u.ByUserID { // the owner who made another member the owner
			what = fmt.Sprintf("%s %s of %s now", g.view.userIs(u.UserID), roleName(u.Role), now)
		}
	default:
		what = fmt.Sprintf("%s changed %s", by, now)
	}
	g.screen.line("[%s] * %s", clock(u.Timestamp), what)
	if u.GroupID == g.open.peer.Group {
		g.open.prompt()
	}
}
