package streams_test

import (
	"errors"
	"testing"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/inbox"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// settle fills every place where something is stored about a person.
func settle(t *testing.T, c *streams.Conn, u, friend schemas.UserID) subject.Address {
	t.Helper()
	ctx := timeout(t)
	if err := c.Directory().CreateAccount(ctx, schemas.Account{UserID: u, PasswordHash: "x", CreatedAt: schemas.Now(),
		KeyHash: schemas.AccountKey("key")}); err != nil {
		t.Fatal(err)
	}
	a := subject.Address{User: u, Device: addDevice(t, c, u).DeviceID}
	if _, err := c.Directory().ChangeSettings(ctx, u, func(s schemas.Settings) schemas.Settings { return s }); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Presence().Begin(ctx, a, &schemas.Session{ConnectedAt: schemas.Now()}); err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]schemas.UserID{{u, friend}, {friend, u}} {
		if err := c.Receipts().Advance(ctx, pair[0], pair[1], schemas.Watermark{DeliveredUpTo: c.Clock().Next()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Receipts().AdvanceReadMark(ctx, u, schemas.Participant{User: friend}, c.Clock().Next()); err != nil {
		t.Fatal(err)
	}
	if err := c.Directory().Block(ctx, u, friend); err != nil {
		t.Fatal(err)
	}
	group, err := c.Groups().Create(ctx, schemas.Request{}, u, schemas.NewGroup{GroupName: "friends", Members: []schemas.UserID{friend}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Receipts().AdvanceInGroup(ctx, group.GroupID, u, schemas.Watermark{DeliveredUpTo: c.Clock().Next()}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Request(ctx, u, schemas.NewRequest("POST /groups", "key", "/groups", group.Info())); err != nil {
		t.Fatal(err)
	}
	recordSent(t, c, a, 1, "one")
	(&streamstest.Sender{T: t, Conn: c, From: friend, To: a}).Commit("1")
	(&streamstest.Sender{T: t, Conn: c, From: friend, To: subject.Unclaimed(u)}).Commit("2")
	return a
}

func storedOf(t *testing.T, c *streams.Conn, u schemas.UserID) map[string]int {
	t.Helper()
	found, err := c.Stored(timeout(t), u)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// onlyTheRecord fails where more is left of a person than that the account was
// deleted.
func onlyTheRecord(t *testing.T, c *streams.Conn, u schemas.UserID) {
	t.Helper()
	if left := storedOf(t, c, u); len(left) != 1 || left["KV_DEVICES $KV.DEVICES."+u.Token()] != 1 {
		t.Errorf("this is left of %s: %v", u, left)
	}
}

func TestDeleteAccount(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	settle(t, c, "alicia", "carl") // whose name alice's begins like
	before := storedOf(t, c, "alicia")
	a := settle(t, c, "alice", "bob")
	if all := storedOf(t, c, "alice"); len(all) != 12 {
		t.Fatalf("the test stores too little: %v", all)
	}
	cs, err := other.StartConsumers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer cs.Close()
	d := streamstest.Start(t, cs, a, "")
	d.AwaitDrained(t)
	if at, err := c.DeleteAccount(ctx, "nobody", 0); at != 0 || err != nil {
		t.Errorf("of nobody: %d, %v", at, err)
	}
	at, err := c.DeleteAccount(ctx, "alice", 0)
	if err != nil || at == 0 {
		t.Fatal(at, err)
	}
	if reason := d.AwaitEnd(t); reason != inbox.EndRemoved {
		t.Errorf("the connection ended with %d", reason)
	}
	d.Close(t)
	onlyTheRecord(t, c, "alice")
	after := storedOf(t, c, "alicia")
	for place, n := range before {
		if after[place] != n {
			t.Errorf("of another one %d of %d are left in %s", after[place], n, place)
		}
	}
	until(t, other, "alice", func(p *directory.User) bool { return !p.Exists && p.Deleted && p.Revoked(a.Device) })
	for what, err := range map[string]error{
		"exist":      other.Directory().EnsureUser(ctx, "alice"),
		"new token":  other.Directory().Admit(ctx, "alice", schemas.Now()+1000),
		"old token":  other.Directory().Admit(ctx, "alice", at),
		"new device": func() error { _, err := other.Directory().AddDevice(ctx, "alice", newDevice(c), 3); return err }(),
	} {
		if !errors.Is(err, directory.ErrDeleted) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := other.Directory().CreateAccount(ctx, schemas.Account{UserID: "alice"}); !errors.Is(err, directory.ErrExists) {
		t.Errorf("the name: %v", err)
	}
	if again, err := other.DeleteAccount(ctx, "alice", 0); again != at || err != nil {
		t.Errorf("a second time: %d, %v, not %d", again, err, at)
	}
	onlyTheRecord(t, c, "alice")
}

// TestDeletionCutShort: whoever comes later completes it.
func TestDeletionCutShort(t *testing.T) {
	server := streamstest.Server(t, t.TempDir())
	c, other := streamstest.Connect(t, server, onePartition()), streamstest.Connect(t, server, onePartition())
	for u, complete := range map[schemas.UserID]func() error{
		"alice": func() error { _, err := other.DeleteAccount(timeout(t), "alice", 0); return err }, // asked again
		"bob":   func() error { return other.EraseAccount(timeout(t), "bob") },                      // by a worker
	} {
		settle(t, c, u, "carol of "+u)
		streamstest.Tombstone(t, server, u)
		until(t, c, u, func(p *directory.User) bool { return p.Deleted })
		if all := storedOf(t, c, u); len(all) != 12 {
			t.Fatalf("there is nothing to complete: %v", all)
		}
		for range 2 {
			if err := complete(); err != nil {
				t.Fatal(err)
			}
			onlyTheRecord(t, c, u)
		}
	}
}

// TestDeletionsAtOnce: whoever asks, wherever, hears of one deletion, and the group of one
// leaving.
func TestDeletionsAtOnce(t *testing.T) {
	c, other := pair(t)
	people(t, c, "bob")
	settle(t, c, "alice", "bob")
	id := memberOf(t, c, "alice")[0]
	times := make(chan schemas.Timestamp, 8)
	for i := range cap(times) {
		go func() {
			at, err := []*streams.Conn{c, other}[i%2].DeleteAccount(timeout(t), "alice", 0)
			if err != nil {
				t.Error(err)
			}
			times <- at
		}()
	}
	at := streamstest.Receive(t, times)
	for range cap(times) - 1 {
		if again := streamstest.Receive(t, times); again != at || at == 0 {
			t.Errorf("deleted at %d, and at %d", at, again)
		}
	}
	onlyTheRecord(t, c, "alice")
	if got := roles(t, c, id); got != "[bob owner]" {
		t.Error(got)
	}
	if n := inboxLen(t, c, subject.Unclaimed("bob")); n != 4 {
		t.Errorf("bob has %d updates, not that it was created, that she left, that he owns it, and that she is deleted", n)
	}
}

// TestNameOfADeletedAccount: it is free once everything is deleted, and who has it
// then is somebody else.
func TestNameOfADeletedAccount(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	a := settle(t, c, "alice", "bob")
	gone := subject.Address{User: "alice", Device: addDevice(t, c, "alice").DeviceID}
	if _, err := c.RemoveDevice(ctx, gone); err != nil {
		t.Fatal(err)
	}
	at, err := c.DeleteAccount(ctx, "alice", 0)
	if err != nil {
		t.Fatal(err)
	}
	// A gateway that does not know it yet still stores for her.
	(&streamstest.Sender{T: t, Conn: c, From: "bob", To: a}).Commit("late")
	if err := c.EraseAccount(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	onlyTheRecord(t, c, "alice")
	for _, want := range []bool{true, false} {
		if first, err := c.FinishErasure(ctx, "alice"); first != want || err != nil {
			t.Errorf("%t, %v", first, err)
		}
	}
	until(t, other, "alice", func(p *directory.User) bool { return !p.Exists && !p.Deleted })
	if err := other.Directory().Admit(ctx, "alice", at); !errors.Is(err, directory.ErrDeleted) {
		t.Errorf("a token of before: %v", err)
	}
	if person(t, other, "alice").Exists {
		t.Fatal("a token of before made her exist again")
	}
	settle(t, other, "alice", "bob")
	stored := storedOf(t, c, "alice")
	until(t, c, "alice", func(p *directory.User) bool { return p.Exists })
	if err := c.Directory().Admit(ctx, "alice", at); !errors.Is(err, directory.ErrDeleted) {
		t.Errorf("a token of the one before, with the name taken again: %v", err)
	}
	if err := c.Directory().Admit(ctx, "alice", at+1); err != nil {
		t.Errorf("her own token: %v", err)
	}
	if p := person(t, c, "alice"); !p.Revoked(a.Device) || !p.Revoked(gone.Device) || len(p.Devices) != 1 {
		t.Errorf("the device of before is not told that it was removed: %+v", p)
	}
	// Whoever is late with the deletion of the first one deletes nothing of the second.
	for _, late := range []error{
		c.EraseAccount(ctx, "alice"), c.ForgetAccount(ctx, "alice"),
		func() error {
			first, err := c.FinishErasure(ctx, "alice")
			if first {
				return errors.New("an erasure of somebody who is there was finished")
			}
			return err
		}(),
	} {
		if late != nil {
			t.Error(late)
		}
	}
	for place, n := range storedOf(t, c, "alice") {
		if stored[place] != n {
			t.Errorf("%s has %d, not %d", place, n, stored[place])
		}
	}
	if len(stored) != 12 {
		t.Errorf("the test stores too little: %v", stored)
	}
	second, err := c.DeleteAccount(ctx, "alice", 0)
	if err != nil || second <= at {
		t.Errorf("the second was deleted at %d, the first at %d, %v", second, at, err)
	}
}

// TestSlowErasure: what is stored after an erasure looked at the streams stays,
// and one that was overtaken does nothing.
func TestSlowErasure(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	a := settle(t, c, "alice", "bob")
	to := &streamstest.Sender{T: t, Conn: other, From: "bob", To: a}
	if _, err := c.DeleteAccount(ctx, "alice", 0); err != nil {
		t.Fatal(err)
	}
	early := to.Commit("early")
	var late streamstest.Sent
	err := c.Erase(ctx, "alice", func(schemas.Devices) bool {
		late = to.Commit("late")
		return true
	})
	if err != nil || to.Held(early.ID) || !to.Held(late.ID) {
		t.Errorf("early: %t, late: %t, %v", to.Held(early.ID), to.Held(late.ID), err)
	}
	overtaken := 0
	err = c.Erase(ctx, "alice", func(d schemas.Devices) bool {
		if overtaken++; overtaken > 1 {
			return !d.Erased
		}
		if _, err := other.FinishErasure(ctx, "alice"); err != nil {
			t.Error(err)
		}
		if err := other.Directory().EnsureUser(ctx, "alice"); err != nil {
			t.Error(err)
		}
		return true
	})
	if err != nil || !to.Held(late.ID) || !person(t, other, "alice").Exists {
		t.Errorf("the one who has the name now lost a message: %v", err)
	}
}

func TestForgetAccount(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	settle(t, c, "alice", "bob")
	if _, err := c.DeleteAccount(ctx, "alice", 0); err != nil {
		t.Fatal(err)
	}
	if err := c.ForgetAccount(ctx, "alice"); err != nil || !person(t, c, "alice").Deleted {
		t.Errorf("forgotten before everything is deleted: %v", err)
	}
	if _, err := c.FinishErasure(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	// A message that waited for bob arrives.
	if err := c.Receipts().Advance(ctx, "alice", "bob", schemas.Watermark{DeliveredUpTo: c.Clock().Next()}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.ForgetAccount(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	if left := storedOf(t, c, "alice"); len(left) != 0 {
		t.Errorf("this is left: %v", left)
	}
	if p := person(t, c, "alice"); p.Exists || p.Deleted || p.TokensAfter != 0 {
		t.Errorf("she is %+v", p)
	}
	if err := c.Directory().EnsureUser(ctx, "alice"); err != nil || !person(t, c, "alice").Exists {
		t.Errorf("the name cannot be taken: %v", err)
	}
}

// A sign-up has its account before there is a person: who forgets the one before at
// that moment leaves it.
func TestForgettingLeavesTheNextAccount(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	settle(t, c, "alice", "bob")
	if _, err := c.DeleteAccount(ctx, "alice", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.FinishErasure(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	next := schemas.Account{UserID: "alice", PasswordHash: "y", CreatedAt: schemas.Now()}
	if _, err := bucket(t, c, "ACCOUNTS").Create(ctx, "alice", schemas.Encode(next)); err != nil {
		t.Fatal(err)
	}
	if err := c.ForgetAccount(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := c.Directory().Account(ctx, "alice"); got != next || !ok || err != nil {
		t.Errorf("the next account is %+v, %t, %v", got, ok, err)
	}
	if err := c.Directory().EnsureUser(ctx, "alice"); err != nil || !person(t, c, "alice").Exists {
		t.Errorf("she does not exist: %v", err)
	}
}

// TestDeletionBehindASend: the record of a send that comes behind its copies, in a
// process that is alone, does not come behind the deletion as well.
func TestDeletionBehindASend(t *testing.T) {
	c, _ := open(t, streamstest.Server(t, t.TempDir()))
	a := settle(t, c, "alice", "bob")
	known(t, c, a)
	release := hold(t, c)
	send(t, c, a, subject.Unclaimed("bob"), 2, "accepted")
	deleted := make(chan error, 1)
	go func() {
		_, err := c.DeleteAccount(timeout(t), "alice", 0)
		deleted <- err
	}()
	until(t, c, "alice", func(p *directory.User) bool { return p.Deleted })
	release()
	if err := streamstest.Receive(t, deleted); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.SendLog().Find(timeout(t), a, 2); err != nil { // what waits is written
		t.Fatal(err)
	}
	onlyTheRecord(t, c, "alice")
}

// TestDeletionWithAClockThatIsAhead: no message of the one before has an id of later
// than the deletion, and no deletion is earlier than the one before.
func TestDeletionWithAClockThatIsAhead(t *testing.T) {
	c, other := pair(t)
	people(t, c, "alice")
	c.Clock().Observe(schemas.MessageIDAt(schemas.Now() + 3600_000))
	last := c.Clock().Next()
	first, err := c.DeleteAccount(timeout(t), "alice", 0)
	if err != nil || first < last.Time() {
		t.Errorf("deleted at %d, and the last message is of %d (%v)", first, last.Time(), err)
	}
	if _, err := c.FinishErasure(timeout(t), "alice"); err != nil {
		t.Fatal(err)
	}
	people(t, c, "alice")
	until(t, other, "alice", func(p *directory.User) bool { return p.Exists && p.TokensAfter == first })
	if second, err := other.DeleteAccount(timeout(t), "alice", 0); err != nil || second <= first {
		t.Errorf("the next one deleted at %d, the one before at %d (%v)", second, first, err)
	}
}

// The times of an erasure follow from what may still come, and be asked with.
func TestTimesOfAnErasure(t *testing.T) {
	if streams.EraseSettle <= directory.CacheTTL {
		t.Errorf("others may not know after %s", streams.EraseSettle)
	}
	if streams.MinEraseMemory <= streams.DefaultInboxMaxAge {
		t.Errorf("messages still arrive after %s", streams.MinEraseMemory)
	}
}
