package streams_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// pair is two processes on one cluster.
func pair(t *testing.T) (one, two *streams.Conn) {
	t.Helper()
	server := streamstest.Server(t, t.TempDir())
	return streamstest.Connect(t, server, onePartition()), streamstest.Connect(t, server, onePartition())
}

func person(t *testing.T, c *streams.Conn, u schemas.UserID) *directory.User {
	t.Helper()
	p, err := c.Directory().User(timeout(t), u)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// until asks a process for a person until it sees what another changed.
func until(t *testing.T, c *streams.Conn, u schemas.UserID, seen func(*directory.User) bool) {
	t.Helper()
	for end := time.Now().Add(streamstest.Timeout); !seen(person(t, c, u)); {
		if time.Now().After(end) {
			t.Fatalf("the other process does not see it: %+v", person(t, c, u))
		}
	}
}

func newDevice(c *streams.Conn) schemas.Device {
	return schemas.Device{DeviceID: schemas.DeviceID(c.Clock().NextULID()), Name: "phone", CreatedAt: schemas.Now()}
}

func addDevice(t *testing.T, c *streams.Conn, u schemas.UserID) schemas.Device {
	t.Helper()
	d, err := c.Directory().AddDevice(timeout(t), u, newDevice(c), 100)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAccounts(t *testing.T) {
	c, other := pair(t)
	ctx, d := timeout(t), c.Directory()
	a := schemas.Account{UserID: "alice", PasswordHash: "$argon2id$…", CreatedAt: schemas.Now()}
	if _, ok, err := d.Account(ctx, "alice"); ok || err != nil {
		t.Errorf("before: %t, %v", ok, err)
	}
	if person(t, c, "alice").Exists || person(t, other, "alice").Exists {
		t.Error("a person that nobody made exists")
	}
	if err := d.CreateAccount(ctx, a); err != nil {
		t.Fatal(err)
	}
	if err := other.Directory().CreateAccount(ctx, a); !errors.Is(err, directory.ErrExists) {
		t.Errorf("a second time: %v", err)
	}
	if got, ok, err := other.Directory().Account(ctx, "alice"); err != nil || !ok || got != a {
		t.Errorf("got %+v, %t, %v", got, ok, err)
	}
	p := person(t, c, "alice")
	if !p.Exists || len(p.Devices) != 0 || !reflect.DeepEqual(p.Settings, schemas.DefaultSettings()) {
		t.Errorf("the person is %+v", p)
	}
	until(t, other, "alice", func(p *directory.User) bool { return p.Exists })
}

func TestEnsureUser(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	var wg sync.WaitGroup
	for i := range 10 {
		d := []*streams.Conn{c, other}[i%2].Directory()
		wg.Go(func() {
			if err := d.EnsureUser(ctx, "kim@example.org"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	device := addDevice(t, c, "kim@example.org")
	for _, d := range []*directory.Directory{c.Directory(), other.Directory()} {
		if err := d.EnsureUser(ctx, "kim@example.org"); err != nil {
			t.Error(err)
		}
	}
	if p := person(t, c, "kim@example.org"); !p.Exists || len(p.Devices) != 1 || p.Devices[0] != device {
		t.Errorf("the person is %+v", p)
	}
	if _, ok, err := c.Directory().Account(ctx, "kim@example.org"); ok || err != nil {
		t.Errorf("a user of an external issuer has an account: %t, %v", ok, err)
	}
}

// However many register at once, through whatever gateway, the limit holds and
// exactly one is the first.
func TestDeviceLimit(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	if err := c.Directory().EnsureUser(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	const limit, tries = 3, 12
	errs := make(chan error, tries)
	for i := range tries {
		conn := []*streams.Conn{c, other}[i%2]
		go func() {
			_, err := conn.Directory().AddDevice(ctx, "alice", newDevice(conn), limit)
			errs <- err
		}()
	}
	added := 0
	for range tries {
		switch err := streamstest.Receive(t, errs); {
		case err == nil:
			added++
		case !errors.Is(err, directory.ErrDeviceLimit):
			t.Error(err)
		}
	}
	p, err := other.Directory().Fresh(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	first := 0
	for _, d := range p.Devices {
		if d.Unclaimed {
			first++
		}
	}
	if added != limit || len(p.Devices) != limit || first != 1 {
		t.Errorf("%d were added, %d are there, %d of them first; the limit is %d", added, len(p.Devices), first, limit)
	}
}

func TestDevices(t *testing.T) {
	c, other := pair(t)
	ctx, d := timeout(t), c.Directory()
	one, two := addDevice(t, c, "alice"), addDevice(t, c, "alice")
	if got, ok := person(t, c, "alice").Device(two.DeviceID); !ok || got != two {
		t.Errorf("got %+v, %t", got, ok)
	}
	if _, ok := person(t, c, "alice").Device("none"); ok {
		t.Error("a device that nobody added is there")
	}
	until(t, other, "alice", func(p *directory.User) bool { return len(p.Devices) == 2 })
	a := subject.Address{User: "alice", Device: two.DeviceID}
	if ok, err := d.ChangeDevice(ctx, a, func(d *schemas.Device) { d.Name = "tablet" }); err != nil || !ok {
		t.Errorf("%t, %v", ok, err)
	}
	until(t, other, "alice", func(p *directory.User) bool { return p.Devices[1].Name == "tablet" })
	for _, a := range []subject.Address{{User: "alice", Device: "none"}, {User: "nobody", Device: two.DeviceID}} {
		if ok, err := d.ChangeDevice(ctx, a, func(d *schemas.Device) { d.Name = "ghost" }); err != nil || ok {
			t.Errorf("%v: %t, %v", a, ok, err)
		}
		if ok, err := d.Remove(ctx, a, directory.Removal{}); err != nil || ok {
			t.Errorf("%v: %t, %v", a, ok, err)
		}
	}
	// What the first should have claimed, and did not, the second will.
	if ok, err := d.Remove(ctx, subject.Address{User: "alice", Device: one.DeviceID}, directory.Removal{}); err != nil || !ok {
		t.Errorf("%t, %v", ok, err)
	}
	p := person(t, c, "alice")
	if len(p.Devices) != 1 || !p.Devices[0].Unclaimed || !slices.Equal(p.Removed, []schemas.DeviceID{one.DeviceID}) {
		t.Errorf("left are %+v, removed %v", p.Devices, p.Removed)
	}
	until(t, other, "alice", func(p *directory.User) bool { return len(p.Devices) == 1 })
	var all []schemas.DeviceID
	for range schemas.MaxRemoved + 3 {
		dev := addDevice(t, c, "alice")
		all = append(all, dev.DeviceID)
		if _, err := d.Remove(ctx, subject.Address{User: "alice", Device: dev.DeviceID}, directory.Removal{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := person(t, c, "alice").Removed; !slices.Equal(got, all[3:]) {
		t.Errorf("%d removed devices are remembered, not the last %d", len(got), schemas.MaxRemoved)
	}
}

func TestSettings(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	if s, err := c.Directory().Settings(ctx, "alice"); err != nil || !reflect.DeepEqual(s, schemas.DefaultSettings()) {
		t.Errorf("the defaults are %+v, %v", s, err)
	}
	addDevice(t, c, "alice")
	until(t, other, "alice", func(p *directory.User) bool { return p.Exists })
	// Two gateways change different choices at once: none undoes the other's.
	var wg sync.WaitGroup
	change := func(conn *streams.Conn, f func(*schemas.Settings)) {
		wg.Go(func() {
			if _, err := conn.Directory().ChangeSettings(ctx, "alice", func(s schemas.Settings) schemas.Settings { f(&s); return s }); err != nil {
				t.Error(err)
			}
		})
	}
	change(c, func(s *schemas.Settings) { s.HistoryStorage = schemas.HistoryDays })
	change(other, func(s *schemas.Settings) { s.ReadReceipts = false })
	change(c, func(s *schemas.Settings) { s.LastSeen = schemas.LastSeenNobody })
	wg.Wait()
	want := schemas.Settings{HistoryStorage: schemas.HistoryDays, LastSeen: schemas.LastSeenNobody}
	for _, conn := range []*streams.Conn{c, other} {
		until(t, conn, "alice", func(p *directory.User) bool { return reflect.DeepEqual(p.Settings, want) })
	}
}

func TestWatchSettings(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	set := func(conn *streams.Conn, u schemas.UserID, days int) {
		t.Helper()
		if _, err := conn.Directory().ChangeSettings(ctx, u, func(s schemas.Settings) schemas.Settings {
			s.HistoryStorage = days
			return s
		}); err != nil {
			t.Fatal(err)
		}
	}
	set(other, "early", schemas.HistoryDays)
	changes := make(chan string, 10)
	watchCtx, cancel := contextWithCancel(t)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Directory().FollowSettings(watchCtx, func(u schemas.UserID, s schemas.Settings) {
			changes <- fmt.Sprint(u, " ", s.HistoryStorage)
		})
	}()
	if got := streamstest.Receive(t, changes); got != "early 90" {
		t.Errorf("got %q, not what was chosen before", got)
	}
	set(other, "alice@example.org", schemas.HistoryDays)
	if got := streamstest.Receive(t, changes); got != "alice@example.org 90" {
		t.Errorf("got %q", got)
	}
	set(c, "alice@example.org", 0)
	if got := streamstest.Receive(t, changes); got != "alice@example.org 0" {
		t.Errorf("got %q", got)
	}
	cancel()
	if err := streamstest.Receive(t, ended); err != nil {
		t.Error(err)
	}
}

// A connect needs the devices of a person, and not what they chose; both parts are
// forgotten together.
func TestRegistrationIsAPart(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	d := c.Directory()
	addDevice(t, c, "alice")
	if err := c.JetStream().DeleteKeyValue(ctx, "SETTINGS"); err != nil {
		t.Fatal(err)
	}
	if p, err := d.Registration(ctx, "alice"); err != nil || !p.Exists || len(p.Devices) != 1 {
		t.Errorf("without settings: %+v, %v", p, err)
	}
	if p, err := d.User(ctx, "alice"); err == nil {
		t.Errorf("a person without settings: %+v", p)
	}
	apply(t, c, onePartition())
	if p, err := d.User(ctx, "alice"); err != nil || !reflect.DeepEqual(p.Settings, schemas.DefaultSettings()) {
		t.Errorf("a person: %+v, %v", p, err)
	}
	for range 2 {
		before, err := d.Registration(ctx, "alice")
		if err != nil {
			t.Fatal(err)
		}
		addDevice(t, c, "alice")
		if p, err := d.Registration(ctx, "alice"); err != nil || len(p.Devices) != len(before.Devices)+1 {
			t.Errorf("with one device more: %+v, %v", p, err)
		}
	}
}
