package streams_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/group"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// people make accounts.
func people(t *testing.T, c *streams.Conn, users ...schemas.UserID) {
	t.Helper()
	for _, u := range users {
		if err := c.Directory().EnsureUser(timeout(t), u); err != nil {
			t.Fatal(err)
		}
	}
}

func newGroup(t *testing.T, c *streams.Conn, owner schemas.UserID, members ...schemas.UserID) schemas.GroupID {
	t.Helper()
	g, err := c.Groups().Create(timeout(t), schemas.Request{}, owner, schemas.NewGroup{GroupName: "friends", Members: members})
	if err != nil {
		t.Fatal(err)
	}
	return g.GroupID
}

// roles are who is in a group, and as what.
func roles(t *testing.T, c *streams.Conn, id schemas.GroupID) string {
	t.Helper()
	g, err := c.Groups().Group(timeout(t), id)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, m := range g.Members {
		all = append(all, fmt.Sprint(m.UserID, " ", m.Role))
	}
	return fmt.Sprint(all)
}

// Who deletes the account has left all groups, as if one by one: ownership passes
// on, the members are told, and a group of nobody else is gone.
func TestDeletionLeavesGroups(t *testing.T) {
	c, other := pair(t)
	people(t, c, "alice", "bob", "carol")
	owned, joined, alone := newGroup(t, c, "alice", "bob", "carol"), newGroup(t, c, "bob", "alice"), newGroup(t, c, "alice")
	if _, err := other.DeleteAccount(timeout(t), "alice", 0); err != nil {
		t.Fatal(err)
	}
	var changes []string                                               // before anybody reads the group
	_ = c.Export(timeout(t), "bob", func(l schemas.ExportLine) error { // history is not there
		if l.Kind != schemas.ExportWaiting {
			return nil
		}
		u, err := schemas.Decode[schemas.GroupChange](l.Entry)
		if err == nil && u.GroupID == owned {
			changes = append(changes, fmt.Sprint(u.Change, " ", u.UserID))
		}
		return err
	})
	if want := []string{"created ", "left alice", "role bob"}; !slices.Equal(changes, want) {
		t.Errorf("bob was told %v, want %v", changes, want)
	}
	for id, want := range map[schemas.GroupID]string{owned: "[bob owner carol member]", joined: "[bob owner]", alone: group.ErrNotFound.Error()} {
		if got := roles(t, c, id); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	onlyTheRecord(t, c, "alice")
}

// Somebody whom others added to groups while the account was deleted is taken out
// again by whoever completes the deletion. It leaves nothing about them for the next
// owner of the name, and what it has others told waits until the group is read.
func TestLateMemberships(t *testing.T) {
	server := streamstest.Server(t, t.TempDir())
	c := streamstest.Connect(t, server, onePartition())
	people(t, c, "alice", "bob")
	with, alone := newGroup(t, c, "alice", "bob"), newGroup(t, c, "alice")
	streamstest.Tombstone(t, server, "alice")
	until(t, c, "alice", func(p *directory.User) bool { return p.Deleted })
	for range 2 {
		if err := c.EraseAccount(timeout(t), "alice"); err != nil {
			t.Fatal(err)
		}
	}
	if g, err := c.Groups().Peek(timeout(t), with); err != nil || g.Pending == nil {
		t.Errorf("%+v, %v: bob is not told yet, and by nobody but who reads the group", g, err)
	}
	if got := roles(t, c, with); got != "[bob owner]" {
		t.Error(got)
	}
	if got := roles(t, c, alone); got != group.ErrNotFound.Error() {
		t.Error(got)
	}
	onlyTheRecord(t, c, "alice") // also behind what bob was told
	if _, err := bucket(t, c, "GROUPS").Get(timeout(t), string(alone)); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("the record of a group of nobody: %v", err)
	}
}

// Somebody who was about to be added, by what MEMBERSHIPS has, and was not.
func TestLateErasureOfSomebodyWhoWasNotAdded(t *testing.T) {
	server := streamstest.Server(t, t.TempDir())
	c := streamstest.Connect(t, server, onePartition())
	people(t, c, "alice", "bob")
	id := newGroup(t, c, "bob")
	about := schemas.Membership{Spans: []schemas.Span{{From: c.Clock().Next()}}}
	if _, err := bucket(t, c, "MEMBERSHIPS").Put(timeout(t), "alice."+string(id), schemas.Encode(about)); err != nil {
		t.Fatal(err)
	}
	streamstest.Tombstone(t, server, "alice")
	until(t, c, "alice", func(p *directory.User) bool { return p.Deleted })
	if err := c.EraseAccount(timeout(t), "alice"); err != nil {
		t.Error(err)
	}
	if g, err := c.Groups().Peek(timeout(t), id); err != nil || g.Pending != nil || len(g.Members) != 1 {
		t.Errorf("%+v, %v", g, err)
	}
	onlyTheRecord(t, c, "alice")
}

// What a late erasure finds of the next owner of the name stays.
func TestLateErasureLeavesNoGroupOfAnother(t *testing.T) {
	c, _ := pair(t)
	people(t, c, "alice", "bob")
	id := newGroup(t, c, "alice", "bob")
	before := c.MembershipsEnd(t)
	again := newGroup(t, c, "alice", "bob")
	if err := c.LeaveRest(timeout(t), "alice", before); err != nil {
		t.Fatal(err)
	}
	if a, b := roles(t, c, id), roles(t, c, again); a != "[bob owner]" || b != "[alice owner bob member]" {
		t.Errorf("the one from before: %s, the one since: %s", a, b)
	}
}

// A change that waits to be told is not lost to somebody's being taken out: they are
// once it was told.
func TestLateErasureWaitsForAPendingChange(t *testing.T) {
	server := streamstest.Server(t, t.TempDir())
	c := streamstest.Connect(t, server, onePartition())
	people(t, c, "alice", "bob")
	id := newGroup(t, c, "alice", "bob")
	g, err := c.Groups().Group(timeout(t), id)
	if err != nil {
		t.Fatal(err)
	}
	cut := *g
	cut.GroupName, cut.Changed = "pals", c.Clock().Next()
	cut.Pending = &schemas.PendingChange{Updates: []schemas.GroupChange{{MessageID: cut.Changed, GroupID: id, Change: schemas.GroupRenamed,
		ByUserID: "alice", GroupName: "pals", Timestamp: cut.Changed.Time()}}}
	leave(t, c, &cut)
	streamstest.Tombstone(t, server, "alice")
	until(t, c, "alice", func(p *directory.User) bool { return p.Deleted })
	if err := c.EraseAccount(timeout(t), "alice"); err == nil {
		t.Error("done, though bob was not told that the group was renamed")
	}
	if got := roles(t, c, id); got != "[alice owner bob member]" { // which tells him
		t.Error(got)
	}
	if err := c.EraseAccount(timeout(t), "alice"); err != nil {
		t.Error(err)
	}
	if got := roles(t, c, id); got != "[bob owner]" {
		t.Error(got)
	}
	if held, err := c.Holds(timeout(t), subject.Unclaimed("bob"), cut.Changed); err != nil || !held {
		t.Errorf("bob does not hear that it was renamed: %v", err)
	}
	onlyTheRecord(t, c, "alice")
}

// Somebody is taken out by a change that is newer than the last one, also where the
// clock of who made that is ahead.
func TestLateErasureBehindAClockThatIsAhead(t *testing.T) {
	server := streamstest.Server(t, t.TempDir())
	c, worker := streamstest.Connect(t, server, onePartition()), streamstest.Connect(t, server, onePartition())
	people(t, c, "alice", "bob")
	c.Clock().Observe(schemas.MessageIDAt(schemas.Now() + 3600_000))
	id := newGroup(t, c, "bob", "alice")
	before, err := c.Groups().Peek(timeout(t), id)
	if err != nil {
		t.Fatal(err)
	}
	streamstest.Tombstone(t, server, "alice")
	until(t, worker, "alice", func(p *directory.User) bool { return p.Deleted })
	if err := worker.EraseAccount(timeout(t), "alice"); err != nil {
		t.Fatal(err)
	}
	if after, err := c.Groups().Peek(timeout(t), id); err != nil || len(after.Members) != 1 || after.Changed <= before.Changed {
		t.Errorf("%+v after %s, %v", after, before.Changed, err)
	}
}

// TestChangeFinishedBehindADeletion: a change that was cut short is finished when who left
// by it is deleted, and the name is somebody else's: nothing of it is written for them.
func TestChangeFinishedBehindADeletion(t *testing.T) {
	c := connect(t, onePartition())
	alice := newcomer(t, c, "alice")
	newcomer(t, c, "bob")
	g := cutShort(c.Clock().Next())
	leave(t, c, g)
	if _, err := c.DeleteAccount(timeout(t), "bob", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.FinishErasure(timeout(t), "bob"); err != nil {
		t.Fatal(err)
	}
	bob := newcomer(t, c, "bob") // another one
	if _, err := c.Groups().Group(timeout(t), g.GroupID); err != nil {
		t.Fatal(err)
	}
	if m, err := c.Groups().Membership(timeout(t), "bob", g.GroupID); err != nil || len(m.Spans) != 0 {
		t.Errorf("who has the name now was a member in %+v, %v", m, err)
	}
	if n := inboxLen(t, c, bob); n != 0 {
		t.Errorf("they are told of it: %d entries", n)
	}
	if n := inboxLen(t, c, alice); n != 1 {
		t.Errorf("alice has %d entries, want the update", n)
	}
}

// Nor does an erasure take the next owner of the name out of a group that they joined
// after it had looked at what there is.
func TestErasureLeavesGroupsOfAfterItLooked(t *testing.T) {
	server := streamstest.Server(t, t.TempDir())
	c := streamstest.Connect(t, server, onePartition())
	people(t, c, "alice", "bob")
	before := newGroup(t, c, "bob", "alice")
	streamstest.Tombstone(t, server, "alice")
	until(t, c, "alice", func(p *directory.User) bool { return p.Deleted })
	var since schemas.GroupID
	if err := c.Erase(timeout(t), "alice", func(schemas.Devices) bool {
		since = newGroup(t, c, "bob", "alice")
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if a, b := roles(t, c, before), roles(t, c, since); a != "[bob owner]" || b != "[bob owner alice member]" {
		t.Errorf("the one from before: %s, the one since: %s", a, b)
	}
}

// A group of nobody else goes with what its channel holds.
func TestErasureOfAChannelOfNobodyElse(t *testing.T) {
	server := streamstest.Server(t, t.TempDir())
	c := streamstest.Connect(t, server, onePartition())
	people(t, c, "alice")
	id := newGroup(t, c, "alice")
	post(t, c, schemas.Message{GroupID: id, Content: "alone"})
	streamstest.Tombstone(t, server, "alice")
	until(t, c, "alice", func(p *directory.User) bool { return p.Deleted })
	if err := c.EraseAccount(timeout(t), "alice"); err != nil {
		t.Fatal(err)
	}
	if end, _, err := c.Channels().End(timeout(t), id); end != 0 || err != nil {
		t.Errorf("the channel still has entry %d (%v)", end, err)
	}
}
