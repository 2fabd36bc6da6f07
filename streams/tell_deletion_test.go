package streams_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// deletions returns the user_deleted entries that wait in an inbox.
func deletions(t *testing.T, c *streams.Conn, a subject.Address) (all []schemas.UserDeletion) {
	t.Helper()
	entries, _, err := c.Read(timeout(t), "INBOX_0", "inbox.0."+a.User.Token()+"."+string(a.Device), 1000)
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := c.JetStream().Stream(timeout(t), "INBOX_0")
	if err != nil {
		t.Fatal(err)
	}
	for _, sequence := range entries {
		e, err := inbox.GetMsg(timeout(t), sequence)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := schemas.DecodeServerFrame(schemas.AppendCursor(nil, e.Data, "c"))
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := frame.(*schemas.UserDeleted); ok {
			all = append(all, d.UserDeletion)
		}
	}
	return all
}

// told fails unless each of some inboxes has one entry of the deletion, under one id.
func told(t *testing.T, c *streams.Conn, u schemas.UserID, inboxes ...subject.Address) (id schemas.MessageID) {
	t.Helper()
	for _, a := range inboxes {
		all := deletions(t, c, a)
		if len(all) != 1 || all[0].UserID != u || all[0].Timestamp == 0 || id != "" && all[0].MessageID != id {
			t.Errorf("the inbox %s of %s has %+v", a.Device, a.User, all)
			continue
		}
		id = all[0].MessageID
	}
	return id
}

func delivered(t *testing.T, c *streams.Conn, sender, reader schemas.UserID) {
	t.Helper()
	if err := c.Receipts().Advance(timeout(t), sender, reader, schemas.Watermark{DeliveredUpTo: c.Clock().Next()}); err != nil {
		t.Fatal(err)
	}
}

// Whoever wrote with a user hears of the deletion, once, on every device; nobody else.
func TestPeersHearOfADeletion(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	people(t, c, "alice", "had hers", "she had", "waits", "she wrote", "both", "in the group", "stranger")
	alice, second := newcomer(t, c, "alice"), newcomer(t, c, "alice")
	phone, tablet := newcomer(t, c, "had hers"), newcomer(t, c, "had hers")
	delivered(t, c, "alice", "had hers")
	delivered(t, c, "she had", "alice")
	delivered(t, c, "alice", "both")
	delivered(t, c, "both", "alice")
	(&streamstest.Sender{T: t, Conn: c, From: "waits", To: alice}).Commit("1")
	(&streamstest.Sender{T: t, Conn: c, From: "both", To: alice}).Commit("1")
	own := &schemas.Message{MessageID: c.Clock().Next(), SenderID: "alice", ReceiverID: "she wrote", Content: "x", Timestamp: schemas.Now(), SenderDeviceID: alice.Device}
	copied := make(chan error, 1)
	c.CommitCopies(streams.Copies{Message: own, Entry: own.StoredMessage(), To: []subject.Address{second}}, func(_ []uint64, err error) { copied <- err })
	if err := streamstest.Receive(t, copied); err != nil {
		t.Fatal(err)
	}
	group := newGroup(t, c, "alice", "in the group")
	if err := c.Receipts().AdvanceInGroup(ctx, group, "in the group", schemas.Watermark{DeliveredUpTo: c.Clock().Next()}); err != nil {
		t.Fatal(err)
	}

	at, err := c.DeleteAccount(ctx, "alice", 0)
	if err != nil {
		t.Fatal(err)
	}
	id := told(t, c, "alice", phone, tablet, subject.Unclaimed("she had"), subject.Unclaimed("waits"), subject.Unclaimed("she wrote"), subject.Unclaimed("both"))
	if id.Time() < at {
		t.Errorf("the entries are of %d, the deletion of %d", id.Time(), at)
	}
	for _, u := range []schemas.UserID{"in the group", "stranger", "alice"} {
		if all := deletions(t, c, subject.Unclaimed(u)); len(all) != 0 {
			t.Errorf("%s is told: %+v", u, all)
		}
	}
	onlyTheRecord(t, c, "alice")

	// A message of hers that waited is delivered after all.
	if _, err := c.FinishErasure(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	delivered(t, c, "alice", "stranger")
	if err := other.EraseAccount(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	if late := told(t, c, "alice", subject.Unclaimed("stranger"), subject.Unclaimed("waits")); late != id {
		t.Errorf("the late one has the id %s, not %s", late, id)
	}
	onlyTheRecord(t, c, "alice")
	if left := storedOf(t, c, "alice"); len(left) != 1 {
		t.Errorf("this is left: %v", left)
	}

	// Whoever has the name then is somebody else.
	people(t, other, "alice")
	delivered(t, c, "alice", "in the group")
	if err := c.EraseAccount(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	if all := deletions(t, c, subject.Unclaimed("in the group")); len(all) != 0 {
		t.Errorf("a user who is there is told to be deleted: %+v", all)
	}
}

// A message that leaves the inbox for the receipts while the account is erased, as the end
// of its connection has it, names its sender all the same.
func TestPeersOfMessagesThatMove(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	people(t, c, "alice", "bob")
	alice := newcomer(t, c, "alice")
	(&streamstest.Sender{T: t, Conn: c, From: "bob", To: alice}).Commit("1")
	devices := bucket(t, c, "DEVICES")
	if _, err := devices.Put(ctx, "alice", schemas.Encode(schemas.Devices{DeletedAt: schemas.Now()})); err != nil {
		t.Fatal(err)
	}
	moved := false
	err := c.Erase(ctx, "alice", func(schemas.Devices) bool { // once the ends of the streams are read
		if !moved {
			moved = true
			delivered(t, c, "bob", "alice")
			inbox, err := c.JetStream().Stream(ctx, "INBOX_0")
			if err == nil {
				err = inbox.Purge(ctx, jetstream.WithPurgeSubject("inbox.0.alice."+string(alice.Device)))
			}
			if err != nil {
				t.Error(err)
			}
		}
		return true
	})
	if err != nil || !moved {
		t.Fatal(moved, err)
	}
	told(t, c, "alice", subject.Unclaimed("bob"))
	onlyTheRecord(t, c, "alice")
}

// A deletion that was cut short while users were told goes on where it stopped, and
// deletes nothing that proves with whom the user wrote before they are told.
func TestTellingIsResumed(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	const n = 700 // more than two reads
	people(t, c, "alice")
	peers := make([]schemas.UserID, n)
	for i := range peers {
		peers[i] = schemas.UserID(fmt.Sprintf("peer%04d", i))
		people(t, c, peers[i])
		delivered(t, c, "alice", peers[i])
	}
	const broken = 400 // in the second read
	devices := bucket(t, c, "DEVICES")
	good, err := devices.Get(ctx, string(peers[broken]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := devices.Put(ctx, string(peers[broken]), []byte("damaged")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteAccount(ctx, "alice", 0); err == nil {
		t.Fatal("the deletion is complete, though a user could not be told")
	}
	if p := person(t, c, "alice"); p.Exists || !p.Deleted {
		t.Errorf("she is %+v", p)
	}
	left := 0
	for place, all := range storedOf(t, c, "alice") {
		if place == "KV_RECEIPTS $KV.RECEIPTS.alice.*" {
			left = all
		}
	}
	if left <= n-broken || left >= n {
		t.Errorf("%d receipts are left of %d", left, n)
	}
	if _, err := devices.Put(ctx, string(peers[broken]), good.Value()); err != nil {
		t.Fatal(err)
	}
	until(t, other, peers[broken], func(p *directory.User) bool { return p.Exists })
	if err := other.EraseAccount(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	inboxes := make([]subject.Address, n)
	for i, u := range peers {
		inboxes[i] = subject.Unclaimed(u)
	}
	told(t, c, "alice", inboxes...)
	onlyTheRecord(t, c, "alice")
}

// The name of a deleted account is reserved, and free afterwards.
func TestNameIsReserved(t *testing.T) {
	server, now := streamstest.Server(t, t.TempDir()), time.Now()
	c := streamstest.Connect(t, server, onePartition())
	other := streamstest.Connect(t, server, onePartition(), func(o *streams.Options) { o.Now = func() time.Time { return now } })
	ctx := timeout(t)
	create := func() error {
		return other.Directory().CreateAccount(ctx, schemas.Account{UserID: "alice", PasswordHash: "x", CreatedAt: schemas.Now()})
	}
	if err := create(); err != nil {
		t.Fatal(err)
	}
	const year = 365 * 24 * time.Hour
	at, err := c.DeleteAccount(ctx, "alice", year)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.FinishErasure(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	for _, after := range []time.Duration{time.Hour, year - time.Minute} {
		now = at.Time().Add(after)
		if err := create(); !errors.Is(err, directory.ErrExists) {
			t.Errorf("after %v: %v", after, err)
		}
		if err := other.Directory().EnsureUser(ctx, "alice"); !errors.Is(err, directory.ErrDeleted) {
			t.Errorf("after %v she can be made: %v", after, err)
		}
	}
	if _, ok, err := c.Directory().Account(ctx, "alice"); ok || err != nil {
		t.Errorf("an attempt left an account: %t, %v", ok, err)
	}
	now = at.Time().Add(year)
	if err := create(); err != nil {
		t.Errorf("after a year: %v", err)
	}
	if err := other.Directory().Admit(ctx, "alice", at); !errors.Is(err, directory.ErrDeleted) {
		t.Errorf("a token of the one before: %v", err)
	}
}
