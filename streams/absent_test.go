package streams_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/group"
	"roost/streams/streamstest"
	"roost/streams/streamstest/files"
	"roost/streams/subject"
)

// TestFailedReadIsNotAbsence reads what is there, and what is not, while the server can
// open no block: NATS answers 404 to both.
func TestFailedReadIsNotAbsence(t *testing.T) {
	dir := t.TempDir()
	server := streamstest.Server(t, dir)
	c := streamstest.Connect(t, server, onePartition())
	account := schemas.Account{UserID: "bob", PasswordHash: "bob's own", CreatedAt: 1}
	if err := c.Directory().CreateAccount(timeout(t), account); err != nil {
		t.Fatal(err)
	}
	bob := newcomer(t, c, "bob")
	if _, err := c.Directory().ChangeSettings(timeout(t), "bob", func(s schemas.Settings) schemas.Settings { s.ReadReceipts = false; return s }); err != nil {
		t.Fatal(err)
	}
	if err := c.Directory().Block(timeout(t), "bob", "mallory"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Signer(timeout(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.Receipts().Advance(timeout(t), "bob", "alice", schemas.Watermark{DeliveredUpTo: c.Clock().Next()}); err != nil {
		t.Fatal(err)
	}
	session := schemas.Session{Gateway: "gw", ConnectedAt: 1}
	if _, _, err := c.Presence().Begin(timeout(t), bob, &session); err != nil {
		t.Fatal(err)
	}
	g := cutShort(c.Clock().Next())
	g.Pending = nil
	leave(t, c, g)
	sent, _ := recordSent(t, c, bob, 1, "hello")
	message := &schemas.Message{MessageID: c.Clock().Next(), MessageIDByClient: 1, SenderID: "alice", SenderDeviceID: "01K742SG00DEVCEDEVCEDEVCE1", ReceiverID: "bob", Content: "hello"}
	stored := make(chan error, 1)
	c.CommitCopies(streams.Copies{Message: message, Entry: message.StoredMessage(), To: []subject.Address{bob}}, func(_ []uint64, err error) { stored <- err })
	if err := streamstest.Receive(t, stored); err != nil {
		t.Fatal(err)
	}
	files.Bury(t, c.JetStream(), "$KV.ACCOUNTS.%d", "$KV.DEVICES.%d", "$KV.SETTINGS.%d", "$KV.BLOCKS.%d", "$KV.GROUPS.%d", "$KV.KEYS.%d",
		"$KV.SESSIONS.%d.%[1]d", "$KV.RECEIPTS.%d.%[1]d", "$KV.MEMBERSHIPS.%d.%[1]d", "sent.0.%d.%[1]d", "inbox.0.%d.%[1]d")
	recordSent(t, c, streamstest.NewAddress(c), 1, "the newest record can be read")
	// What is newer can be read: the older ones are not left out.
	if err := c.Receipts().Advance(timeout(t), "bob", "carol", schemas.Watermark{DeliveredUpTo: c.Clock().Next()}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	server.Stop()

	c = streamstest.Connect(t, streamstest.Server(t, dir), onePartition())
	reads := map[string]func(context.Context, schemas.UserID, subject.Address, schemas.GroupID) (bool, error){
		"person": func(ctx context.Context, u schemas.UserID, _ subject.Address, _ schemas.GroupID) (bool, error) {
			p, err := c.Directory().Fresh(ctx, u)
			return err == nil && p.Exists, err
		},
		"account": func(ctx context.Context, u schemas.UserID, _ subject.Address, _ schemas.GroupID) (bool, error) {
			_, ok, err := c.Directory().Account(ctx, u)
			return ok, err
		},
		"settings": func(ctx context.Context, u schemas.UserID, _ subject.Address, _ schemas.GroupID) (bool, error) {
			s, err := c.Directory().Settings(ctx, u)
			return !s.ReadReceipts, err
		},
		"blocks": func(ctx context.Context, u schemas.UserID, _ subject.Address, _ schemas.GroupID) (bool, error) {
			b, err := c.Directory().Blocks(ctx, u)
			return b.Has("mallory"), err
		},
		"group": func(ctx context.Context, _ schemas.UserID, _ subject.Address, g schemas.GroupID) (bool, error) {
			_, err := c.Groups().Group(ctx, g)
			if errors.Is(err, group.ErrNotFound) {
				return false, nil
			}
			return err == nil, err
		},
		"last send": func(ctx context.Context, _ schemas.UserID, a subject.Address, _ schemas.GroupID) (bool, error) {
			_, ok, err := c.SendLog().Last(ctx, a)
			return ok, err
		},
		"record of a send": func(ctx context.Context, _ schemas.UserID, a subject.Address, _ schemas.GroupID) (bool, error) {
			rec, ok, err := c.SendLog().Find(ctx, a, 1)
			return ok && rec == sent, err
		},
		"copy in the inbox": func(ctx context.Context, _ schemas.UserID, a subject.Address, _ schemas.GroupID) (bool, error) {
			return c.Holds(ctx, a, message.MessageID)
		},
		"copy in one of many inboxes": func(ctx context.Context, _ schemas.UserID, a subject.Address, _ schemas.GroupID) (bool, error) {
			missing, err := c.Missing(ctx, message.MessageID, time.Unix(1, 0), []subject.Address{a})
			return err == nil && len(missing) == 0, err
		},
		"session": func(ctx context.Context, _ schemas.UserID, a subject.Address, _ schemas.GroupID) (bool, error) {
			all, err := c.Presence().Sessions(ctx, []subject.Address{a})
			return err == nil && all[0].Gateway == "gw", err
		},
		"receipts": func(ctx context.Context, u schemas.UserID, _ subject.Address, _ schemas.GroupID) (found bool, err error) {
			err = c.Receipts().Changes(time.Unix(1, 0)).OfUser(ctx, u, nil, func([]schemas.ReceiptItem) { found = true })
			return found, err
		},
	}
	stranger := streamstest.NewAddress(c)
	restore := files.None(t)
	for name, read := range reads {
		ctx, cancel := context.WithTimeout(timeout(t), time.Second) // a batch that the server fails at has no answer
		if found, err := read(ctx, "bob", bob, g.GroupID); err == nil {
			t.Errorf("%s: a read that failed says that it is there: %t", name, found)
		}
		cancel()
	}
	for name, read := range reads {
		if found, err := read(timeout(t), "nobody", stranger, "g-01K73S8AC0GR0VPGR0VPGR0VPH"); found || err != nil && name != "copy in one of many inboxes" { // reads by time may fail
			t.Errorf("%s: what is not there: %t, %v", name, found, err)
		}
	}
	if _, err := c.Signer(timeout(t)); err == nil {
		t.Error("a key that could not be read is there, or was made anew")
	}
	other := account
	other.PasswordHash = "another's"
	if err := c.Directory().CreateAccount(timeout(t), other); err == nil || errors.Is(err, directory.ErrExists) {
		t.Errorf("an account that could not be read: %v", err)
	}
	restore()
	for name, read := range reads {
		if found, err := read(timeout(t), "bob", bob, g.GroupID); !found || err != nil {
			t.Errorf("%s: later: %t, %v", name, found, err)
		}
	}
	if now, _, err := c.Directory().Account(timeout(t), "bob"); err != nil || now.PasswordHash != account.PasswordHash {
		t.Errorf("the account is %+v, %v", now, err)
	}
}

// BenchmarkLookUp is what a look-up past the cache costs, of a user who exists, and of one
// who does not, which is confirmed.
func BenchmarkLookUp(b *testing.B) {
	c := connect(b, onePartition())
	newcomer(b, c, "bob")
	from := streamstest.NewAddress(c)
	for name, do := range map[string]func() error{
		"user":         func() error { _, err := c.Directory().Fresh(b.Context(), "bob"); return err },
		"no user":      func() error { _, err := c.Directory().Fresh(b.Context(), "nobody"); return err },
		"empty inbox":  func() error { _, err := c.Holds(b.Context(), from, "01K742SG00MESSAGEMESSAGE01"); return err },
		"no last send": func() error { _, _, err := c.SendLog().Last(b.Context(), from); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
