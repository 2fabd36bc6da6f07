package streams_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

const month = 30 * 24 * time.Hour

// addIdle registers a device that was used last so long ago.
func addIdle(t *testing.T, c *streams.Conn, u schemas.UserID, ago time.Duration) subject.Address {
	t.Helper()
	d := newDevice(c)
	d.CreatedAt = schemas.TimestampOf(time.Now().Add(-2 * month))
	d.LastActive = schemas.TimestampOf(time.Now().Add(-ago))
	if _, err := c.Directory().AddDevice(timeout(t), u, d, 100); err != nil {
		t.Fatal(err)
	}
	return subject.Address{User: u, Device: d.DeviceID}
}

func TestDeactivate(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	before := schemas.TimestampOf(time.Now().Add(-month))
	used, forgotten := addIdle(t, c, "bob", month-time.Hour), addIdle(t, c, "bob", month+time.Hour)
	connected, orphaned := addIdle(t, c, "bob", month+time.Hour), addIdle(t, c, "bob", month+time.Hour)
	defer keepLease(t, c, "here")()
	alive(t, c, "here", true)
	for a, gateway := range map[subject.Address]string{connected: "here", orphaned: "a gateway that died"} {
		if _, _, err := c.Presence().Begin(ctx, a, &schemas.Session{Gateway: gateway, ConnectedAt: before - 1}); err != nil {
			t.Fatal(err)
		}
	}
	e := (&streamstest.Sender{T: t, Conn: c, From: "alice", To: forgotten}).Commit("1")
	recordSent(t, c, forgotten, 1, "one")
	for a, want := range map[subject.Address]bool{used: false, forgotten: true, connected: false, orphaned: true, streamstest.NewAddress(c): false} {
		if gone, err := c.Deactivate(ctx, a, before); err != nil || gone != want {
			t.Errorf("%s: removed %t, %v; want %t", a.Device, gone, err, want)
		}
		if _, there := person(t, c, "bob").Device(a.Device); a.User == "bob" && there == want {
			t.Errorf("%s: still there: %t", a.Device, there)
		}
		if lost := person(t, c, "bob").Revoked(a.Device); lost != want {
			t.Errorf("%s: remembered as removed: %t", a.Device, lost)
		}
	}
	if held, err := c.Holds(ctx, forgotten, e.ID); held || err != nil {
		t.Errorf("its inbox is still there: %v", err)
	}
	if _, ok, err := c.SendLog().Last(ctx, forgotten); ok || err != nil {
		t.Errorf("its sends are still there: %v", err)
	}
}

// A device that comes back while it is deactivated, at another process: one of the
// two is first, and the other sees it.
func TestDeactivateRace(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	won := map[bool]int{}
	for range 40 {
		a := addIdle(t, c, "bob", 2*month)
		var wg sync.WaitGroup
		var gone, back bool
		var errGone, errBack error
		wg.Go(func() {
			gone, errGone = c.Deactivate(ctx, a, schemas.TimestampOf(time.Now().Add(-month)))
		})
		wg.Go(func() {
			back, errBack = other.Directory().ChangeDevice(ctx, a, func(d *schemas.Device) { d.LastActive = schemas.Now() })
		})
		wg.Wait()
		if errGone != nil || errBack != nil || gone == back {
			t.Fatalf("deactivated: %t, %v; used: %t, %v", gone, errGone, back, errBack)
		}
		won[back]++
		if _, err := c.RemoveDevice(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the device won %d times of %d", won[true], won[true]+won[false])
}

func TestEachPerson(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	const people = 600
	var wg sync.WaitGroup
	for i := range people {
		wg.Go(func() {
			if err := c.Directory().EnsureUser(ctx, schemas.UserID(fmt.Sprintf("user %d@example.org", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	device := addDevice(t, c, "user 7@example.org")
	seen := make(map[schemas.UserID]schemas.Devices)
	collect := func(u schemas.UserID, d schemas.Devices) error { seen[u] = d; return nil }
	if err := c.Directory().Each(ctx, collect); err != nil {
		t.Fatal(err)
	}
	if got := seen["user 7@example.org"].Devices; len(seen) != people || len(got) != 1 || got[0] != device {
		t.Errorf("%d people, and one has %v", len(seen), got)
	}
	stop := fmt.Errorf("stop")
	if err := c.Directory().Each(ctx, func(schemas.UserID, schemas.Devices) error { return stop }); err != stop {
		t.Errorf("it ended with %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.Directory().Each(ended, collect); err == nil {
		t.Error("it went on behind the end of its context")
	}
}

// A removal that was cut short behind the record is completed by who goes round.
func TestFinishRemovals(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	phone, kept := addIdle(t, c, "bob", 0), addIdle(t, c, "bob", 0)
	to := &streamstest.Sender{T: t, Conn: c, From: "alice", To: phone}
	e := to.Commit("1")
	recordSent(t, c, phone, 1, "one")
	for _, a := range []subject.Address{phone, kept} {
		if _, _, err := c.Presence().Begin(ctx, a, &schemas.Session{Gateway: "here", ConnectedAt: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := c.Directory().Remove(ctx, phone, directory.Removal{}); err != nil || !ok { // and no more than that
		t.Fatalf("%t, %v", ok, err)
	}
	err := c.Directory().Each(ctx, func(u schemas.UserID, record schemas.Devices) error { return c.FinishRemovals(ctx, u, record) })
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := c.SendLog().Last(ctx, phone); ok || err != nil || to.Held(e.ID) {
		t.Errorf("its sends or its inbox are still there: %v", err)
	}
	sessions, err := c.Presence().Sessions(ctx, []subject.Address{phone, kept})
	if err != nil || sessions[0].SessionID != "" || sessions[1].SessionID == "" {
		t.Errorf("sessions %+v, %v", sessions, err)
	}
}
