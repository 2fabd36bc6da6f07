package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"roost/client"
	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// TestAccount is the life of an account at `roost serve`, from the first device to
// an export of it all and the end.
func TestAccount(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, "127.0.0.1:0")
	ctx := t.Context()
	api := client.API{URL: s.url}
	if _, err := api.Register(ctx, "alice", "correct horse"); err != nil {
		t.Fatal(err)
	}
	login, err := api.Login(ctx, "alice", "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	api.Token = login.Token
	keep := schemas.HistoryDays
	for _, a := range []client.API{api, {URL: s.url, Token: token(t, dir, "bob")}} {
		if _, err := a.ChangeSettings(ctx, schemas.SettingsChange{HistoryStorage: &keep}); err != nil {
			t.Fatal(err)
		}
	}
	alice, err := client.Connect(ctx, client.Options{URL: s.url, Token: login.Token, DeviceName: "phone"})
	if err != nil {
		t.Fatal(err)
	}
	bob := join(t, s, dir, "bob")
	t.Cleanup(func() { closeAll([]*client.Client{alice, bob}) })
	said := send(t, alice, "bob", "kept by both")
	if m := next[client.Message](t, bob); m.MessageID != said.MessageID || m.Ack() != nil {
		t.Fatal(m)
	}
	if _, err := api.RegisterDevice(ctx, "tablet"); err != nil {
		t.Fatal(err)
	}
	waits := send(t, bob, "alice", "waits for the tablet")

	var export strings.Builder
	eventually(t, "an export with history", func() bool {
		export.Reset()
		_, err := api.Export(ctx, &export)
		return err == nil && strings.Count(export.String(), `"kind":"message"`) == 2
	})
	for _, part := range []string{`{"kind":"account"`, `"name":"phone"`, `"name":"tablet"`, `"kind":"settings"`, `"kind":"session"`,
		`"kind":"sent"`, `"kind":"waiting"`, string(said.MessageID), string(waits.MessageID), `{"kind":"end"`} {
		if !strings.Contains(export.String(), part) {
			t.Errorf("the export lacks %s:\n%s", part, &export)
		}
	}

	var refused *schemas.Error
	if _, err := api.DeleteAccount(ctx, "wrong horse"); !errors.As(err, &refused) || refused.Code != schemas.CodeUnauthenticated {
		t.Errorf("with a wrong password: %v", err)
	}
	deleted, err := api.DeleteAccount(ctx, "correct horse")
	if err != nil || deleted.DeletedAt == 0 || len(deleted.Kept) == 0 {
		t.Fatal(deleted, err)
	}
	for err = nil; err == nil; {
		_, err = alice.Receive(ctx)
	}
	var closed *client.CloseError
	if !errors.As(err, &closed) || closed.Code != schemas.CloseDeviceRemoved {
		t.Errorf("her client ended with %v", err)
	}
	if _, err := bob.Send(ctx, schemas.Participant{User: "alice"}, "still there?", nil); !errors.As(err, &refused) || refused.Code != schemas.CodeUnknownReceiver {
		t.Errorf("bob is told %v", err)
	}
	bobs := client.API{URL: s.url, Token: token(t, dir, "bob")}
	if page, err := bobs.History(ctx, schemas.Participant{User: "alice"}, schemas.PageBounds{}); err != nil || len(page) != 2 {
		t.Errorf("what bob keeps: %v, %v", page, err)
	}
	if _, err := api.Export(ctx, &export); !errors.As(err, &refused) || refused.Code != schemas.CodeUnauthenticated {
		t.Errorf("an export of nobody: %v", err)
	}
}

// TestClusterDeletes has the gateway's and the worker's role delete what they
// have to, with the permissions of nats.conf.
func TestClusterDeletes(t *testing.T) {
	c := startCluster(t, 1)
	c.noViolations()
	c.apply(streams.Topology{Partitions: 2})
	gateway, worker := c.conn("gateway"), c.conn("worker")
	for _, conn := range []*streams.Conn{gateway, worker} {
		if err := conn.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	long := schemas.TimestampOf(time.Now().Add(-2 * month))
	device := schemas.Device{DeviceID: schemas.DeviceID(gateway.Clock().NextULID()), Name: "phone", CreatedAt: long, LastActive: long}
	if _, err := gateway.Directory().AddDevice(t.Context(), "alice", device, 3); err != nil {
		t.Fatal(err)
	}
	phone := subject.Address{User: "alice", Device: device.DeviceID}
	if gone, err := worker.Deactivate(t.Context(), phone, schemas.Now()); err != nil || !gone {
		t.Errorf("deactivated by the worker: %t, %v", gone, err)
	}
	heard := make(chan schemas.UserID, 16)
	worker.Directory().OnDevices(func(u schemas.UserID, d schemas.Devices) {
		if d.Deleted() {
			heard <- u
		}
	})
	if at, err := gateway.DeleteAccount(t.Context(), "alice", 0); err != nil || at == 0 {
		t.Fatalf("deleted by the gateway: %d, %v", at, err)
	}
	if u := streamstest.Receive(t, heard); u != "alice" {
		t.Errorf("the worker heard of %s", u)
	}
	if err := worker.RequestErasure(t.Context(), "alice"); err == nil || !strings.Contains(err.Error(), "no gateway") {
		t.Errorf("erased for the worker, without a gateway: %v", err)
	}
	// What came late: a message of hers was delivered to dave.
	if err := gateway.Directory().EnsureUser(t.Context(), "dave"); err != nil {
		t.Fatal(err)
	}
	if err := gateway.Receipts().Advance(t.Context(), "alice", "dave", schemas.Watermark{DeliveredUpTo: gateway.Clock().Next()}); err != nil {
		t.Fatal(err)
	}
	stop, err := gateway.ServeErasures()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := worker.RequestErasure(t.Context(), "alice"); err != nil {
		t.Errorf("erased for the worker: %v", err)
	}
	if first, err := worker.FinishErasure(t.Context(), "alice"); err != nil || !first {
		t.Errorf("finished by the worker: %t, %v", first, err)
	}
	if err := worker.ForgetAccount(t.Context(), "alice"); err != nil {
		t.Errorf("forgotten by the worker: %v", err)
	}
	if err := worker.Directory().Each(t.Context(), func(u schemas.UserID, _ schemas.Devices) error {
		if u != "dave" {
			t.Errorf("%s is still there", u)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}

	group, err := gateway.Groups().Create(t.Context(), schemas.Request{}, "bob", schemas.NewGroup{GroupName: "friends", Members: []schemas.UserID{"carol"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	err = worker.Groups().Follow(ctx, func(id schemas.GroupID, g *schemas.Group, _ time.Time) {
		if id == group.GroupID && len(g.Members) == 2 {
			cancel()
		}
	})
	if err != nil || ctx.Err() != context.Canceled {
		t.Errorf("the worker did not hear of the group: %v, %v", err, ctx.Err())
	}
	if all, err := worker.Groups().Memberships(t.Context(), group.GroupID); err != nil || len(all["bob"].Spans) != 1 || len(all["carol"].Spans) != 1 || len(all) != 2 {
		t.Errorf("memberships by the worker: %v, %v", all, err)
	}
}
