package streams_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams"
	"roost/streams/group"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// newcomer makes a user exist with one device.
func newcomer(t testing.TB, c *streams.Conn, u schemas.UserID) subject.Address {
	t.Helper()
	ctx := timeout(t)
	if err := c.Directory().EnsureUser(ctx, u); err != nil {
		t.Fatal(err)
	}
	d := schemas.Device{DeviceID: schemas.DeviceID(c.Clock().NextULID()), Name: "test", CreatedAt: schemas.Now()}
	if _, err := c.Directory().AddDevice(ctx, u, d, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Directory().ChangeDevice(ctx, subject.Address{User: u, Device: d.DeviceID}, func(d *schemas.Device) { d.Unclaimed = false }); err != nil {
		t.Fatal(err)
	}
	return subject.Address{User: u, Device: d.DeviceID}
}

// inboxLen is how many entries an inbox holds, in a cluster of one partition.
func inboxLen(t testing.TB, c *streams.Conn, a subject.Address) int {
	t.Helper()
	all, _, err := c.Read(timeout(t), "INBOX_0", "inbox.0."+a.User.Token()+"."+string(a.Device), 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func bucket(t testing.TB, c *streams.Conn, name string) jetstream.KeyValue {
	t.Helper()
	kv, err := c.JetStream().KeyValue(timeout(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// leave writes a record as a gateway leaves it that dies right after its
// compare-and-set.
func leave(t testing.TB, c *streams.Conn, g *schemas.Group) {
	t.Helper()
	if _, err := bucket(t, c, "GROUPS").Put(timeout(t), string(g.GroupID), schemas.Encode(g)); err != nil {
		t.Fatal(err)
	}
}

// cutShort is a group of alice alone, out of which bob was taken by a change that
// nobody finished.
func cutShort(id schemas.MessageID) *schemas.Group {
	g := &schemas.Group{GroupID: "g-01K73S8AC0GR0VPGR0VPGR0VPG", GroupName: "friends", CreatedAt: 1, Changed: id,
		Members: []schemas.Member{{UserID: "alice", Role: schemas.RoleOwner, Since: "01K742SG00MESSAGEMESSAGE01"}}}
	g.Pending = &schemas.PendingChange{
		Gone: []schemas.Member{{UserID: "bob", Role: schemas.RoleMember, Since: "01K742SG00MESSAGEMESSAGE01"}},
		Updates: []schemas.GroupChange{{MessageID: id, GroupID: g.GroupID, Change: schemas.GroupRemoved,
			ByUserID: "alice", UserID: "bob", GroupName: "friends", Timestamp: id.Time()}}}
	return g
}

func TestInterruptedChangeIsFinished(t *testing.T) {
	c, other := pair(t)
	alice, bob := newcomer(t, c, "alice"), newcomer(t, c, "bob")
	g := cutShort(c.Clock().Next())
	leave(t, c, g)
	events, err := other.LiveConn().SubscribeSync("evt.group." + string(g.GroupID))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time nothing is left to do
		got, err := other.Groups().Group(timeout(t), g.GroupID)
		if err != nil || got.Pending != nil || len(got.Members) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, a := range []subject.Address{alice, bob} {
			if n := inboxLen(t, c, a); n != 1 {
				t.Errorf("%s has %d entries, want the update", a.User, n)
			}
			if held, err := c.Holds(timeout(t), a, g.Changed); err != nil || !held {
				t.Errorf("%s has not the update (%v)", a.User, err)
			}
		}
	}
	if m, err := events.NextMsg(streamstest.Timeout); err != nil || string(m.Data) != string(g.Pending.Updates[0].StoredUpdate()) {
		t.Errorf("the event is %+v, %v", m, err)
	}
	m, err := c.Groups().Membership(timeout(t), "bob", g.GroupID)
	if want := (schemas.Span{From: "01K742SG00MESSAGEMESSAGE01", To: g.Changed}); err != nil || len(m.Spans) != 1 || m.Spans[0] != want {
		t.Errorf("bob was a member in %+v, %v", m, err)
	}
	if next := other.Clock().Next(); next <= g.Changed {
		t.Errorf("the next id is %s, not larger than that of the change %s", next, g.Changed)
	}
}

// TestInterruptedChangeFinishedLate: a part has the update already, and the stream
// has forgotten its ids.
func TestInterruptedChangeFinishedLate(t *testing.T) {
	c := connect(t, streams.Topology{Partitions: 1, DuplicateWindow: 100 * time.Millisecond})
	alice, bob := newcomer(t, c, "alice"), newcomer(t, c, "bob")
	g := cutShort(schemas.MessageIDAt(schemas.TimestampOf(time.Now().Add(-time.Hour))))
	leave(t, c, g)
	copyOf := func(id schemas.MessageID, a subject.Address) uint64 {
		done := make(chan uint64, 1)
		c.CommitCopies(streams.Copies{Message: &schemas.Message{MessageID: id}, Entry: g.Pending.Updates[0].StoredUpdate(), To: []subject.Address{a}},
			func(sequences []uint64, err error) {
				if err != nil {
					t.Error(err)
				}
				done <- sequences[0]
			})
		return streamstest.Receive(t, done)
	}
	copyOf(g.Changed, alice)
	probe, commits := c.Clock().Next(), 0
	for deadline := time.Now().Add(streamstest.Timeout); commits < 2; { // the second is no duplicate any more
		if copyOf(probe, subject.Unclaimed("carol")) > 0 {
			commits++
		}
		if time.Now().After(deadline) {
			t.Fatal("the stream does not forget its ids")
		}
	}
	if _, err := c.Groups().Group(timeout(t), g.GroupID); err != nil {
		t.Fatal(err)
	}
	for _, a := range []subject.Address{alice, bob} {
		if n := inboxLen(t, c, a); n != 1 {
			t.Errorf("%s has %d entries, want the update", a.User, n)
		}
	}
}

func TestInterruptedDeletion(t *testing.T) {
	c, other := pair(t)
	alice := newcomer(t, c, "alice")
	newcomer(t, c, "bob")
	g := cutShort(c.Clock().Next())
	g.Pending.Gone, g.Members = g.Members, nil
	leave(t, c, g)
	for range 2 {
		if got, err := other.Groups().Group(timeout(t), g.GroupID); !errors.Is(err, group.ErrNotFound) {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if n := inboxLen(t, c, alice); n != 1 {
		t.Errorf("the last member has %d entries, want the update", n)
	}
	if _, err := bucket(t, c, "GROUPS").Get(timeout(t), string(g.GroupID)); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("the record is still there: %v", err)
	}
	// One that was cut short a step later.
	g.Pending = nil
	leave(t, c, g)
	if got, err := c.Groups().Group(timeout(t), g.GroupID); !errors.Is(err, group.ErrNotFound) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Groups().Change(timeout(t), g.GroupID, "alice", func(*group.Edit) error { return nil }); !errors.Is(err, group.ErrNotFound) {
		t.Errorf("a change of it: %v", err)
	}
}

// TestInterruptedAdd: who was about to become a member is none.
func TestInterruptedAdd(t *testing.T) {
	c, _ := pair(t)
	ctx := timeout(t)
	for _, u := range []schemas.UserID{"alice", "bob"} {
		newcomer(t, c, u)
	}
	g, err := c.Groups().Create(ctx, schemas.Request{}, "alice", schemas.NewGroup{GroupName: "friends"})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	add := func(fails error) error {
		_, err := c.Groups().Change(ctx, g.GroupID, "alice", func(e *group.Edit) error {
			since := e.Note(schemas.GroupAdded, "bob", schemas.RoleMember)
			e.Group.Members = append(e.Group.Members, schemas.Member{UserID: "bob", Role: schemas.RoleMember, Since: since})
			return fails
		})
		return err
	}
	if _, err := bucket(t, c, "MEMBERSHIPS").Put(ctx, "bob."+string(g.GroupID),
		schemas.Encode(schemas.Membership{}.Open(c.Clock().Next()))); err != nil {
		t.Fatal(err)
	}
	groupsOfBob := func() int {
		t.Helper()
		all, err := c.Groups().Of(ctx, "bob")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if err := add(broken); !errors.Is(err, broken) || groupsOfBob() != 0 {
		t.Errorf("%v, bob is a member of %d groups", err, groupsOfBob())
	}
	if err := add(nil); err != nil || groupsOfBob() != 1 {
		t.Errorf("%v, bob is a member of %d groups", err, groupsOfBob())
	}
	if m, err := c.Groups().Membership(ctx, "bob", g.GroupID); err != nil || len(m.Spans) != 1 || m.Spans[0].From <= g.Changed {
		t.Errorf("bob's spans are %+v, %v", m, err)
	}
}

// TestGroupIsReadFromItsLeader: a follower may not know yet who was removed.
func TestGroupIsReadFromItsLeader(t *testing.T) {
	c, _ := pair(t)
	s, err := c.JetStream().Stream(timeout(t), "KV_GROUPS")
	if err != nil || s.CachedInfo().Config.AllowDirect {
		t.Errorf("%+v, %v", s.CachedInfo().Config, err)
	}
}

// TestLargeSendsWaitForRoom: they come in the order of their calls, and leave room
// for others.
func TestLargeSendsWaitForRoom(t *testing.T) {
	c, _ := pair(t)
	first, ok := c.TryReserve(streams.MaxCopies + 1) // all there is
	if !ok {
		t.Fatal("there is no room at first")
	}
	if _, ok := c.TryReserve(1); ok {
		t.Fatal("there is room beyond all there is")
	}
	got := make(chan func(), 1)
	go func() {
		release, err := c.Reserve(timeout(t), 2048)
		if err != nil {
			t.Error(err)
		}
		got <- release
	}()
	first()
	streamstest.Receive(t, got)()
	if streams.MaxCopies > streams.MaxQueued/2 {
		t.Error("nothing is left for small sends")
	}
}

// TestManyChangesAtOnce: members leave all at once, at two gateways, and each change is made.
func TestManyChangesAtOnce(t *testing.T) {
	c, other := pair(t)
	const n = 60
	var members []schemas.UserID
	for i := range n {
		u := schemas.UserID(fmt.Sprint("member-", i))
		if err := c.Directory().EnsureUser(timeout(t), u); err != nil {
			t.Fatal(err)
		}
		members = append(members, u)
	}
	if err := c.Directory().EnsureUser(timeout(t), "alice"); err != nil {
		t.Fatal(err)
	}
	g, err := c.Groups().Create(timeout(t), schemas.Request{}, "alice", schemas.NewGroup{GroupName: "friends", Members: members})
	if err != nil {
		t.Fatal(err)
	}
	ctx := timeout(t)
	var wg sync.WaitGroup
	for i, u := range members {
		wg.Go(func() {
			_, err := []*streams.Conn{c, other}[i%2].Groups().Change(ctx, g.GroupID, u, func(e *group.Edit) error {
				e.Remove(schemas.GroupLeft, u)
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", u, err)
			}
		})
	}
	wg.Wait()
	if g, err = c.Groups().Group(ctx, g.GroupID); err != nil || len(g.Members) != 1 {
		t.Errorf("left are %+v, %v", g, err)
	}
}
