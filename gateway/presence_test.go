package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"roost/gateway"
	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// lookAt subscribes and returns the answers.
func (d *device) lookAt(ids ...schemas.UserID) (answers []schemas.Presence) {
	d.t.Helper()
	d.send(&schemas.PresenceSubscribe{UserIDs: append([]schemas.UserID{}, ids...)})
	for range ids {
		answers = append(answers, *want[*schemas.Presence](d))
	}
	return answers
}

// wantPresence reads the next presence. Before somebody is online the time of their
// last activity may have changed: of a device that was registered, say.
func (d *device) wantPresence(u schemas.UserID, online bool) schemas.Presence {
	d.t.Helper()
	f := want[*schemas.Presence](d)
	for online && !f.Online && f.UserID == u {
		f = want[*schemas.Presence](d)
	}
	if f.UserID != u || f.Online != online {
		d.t.Fatalf("got %+v, want %s online: %t", *f, u, online)
	}
	return *f
}

// quiet fails where a presence came that nobody waited for.
func (d *device) quiet() {
	d.t.Helper()
	d.roundTrip()
	if got := seen[*schemas.Presence](d); len(got) > 0 {
		d.t.Fatalf("got %+v", *got[0])
	}
}

func grace(d time.Duration) func(*gateway.Options) {
	return func(o *gateway.Options) { o.PresenceGrace = d }
}

func TestPresence(t *testing.T) {
	for _, alone := range []bool{false, true} {
		t.Run(fmt.Sprintf("alone %t", alone), func(t *testing.T) {
			nats := streamstest.Server(t, t.TempDir())
			conn := streamstest.Connect(t, nats, streams.Topology{}, func(o *streams.Options) { o.SingleProcess = alone })
			testPresence(t, moveIn(t, nats, conn, grace(time.Millisecond)))
		})
	}
}

func testPresence(t *testing.T, h *house) {
	alice := h.connect("alice")
	h.token("carol")
	start := schemas.Now()
	for i, got := range alice.lookAt("bob", "carol", "alice") { // bob does not exist, carol was never here
		want := schemas.Presence{UserID: []schemas.UserID{"bob", "carol", "alice"}[i], Online: i == 2}
		if got.LastActiveTime >= start {
			want.LastActiveTime = got.LastActiveTime
		}
		if got != want || got.Online != (got.LastActiveTime > 0) {
			t.Errorf("got %+v", got)
		}
	}
	bob := h.connect("bob")
	if f := alice.wantPresence("bob", true); f.LastActiveTime < start {
		t.Errorf("online, and last active at %d", f.LastActiveTime)
	}
	tablet := h.connect("bob")
	goAway(t, h, "bob", bob)
	alice.quiet() // one of two devices came and another went
	goAway(t, h, "bob", tablet)
	if f := alice.wantPresence("bob", false); f.LastActiveTime < start || f.LastActiveTime > schemas.Now() {
		t.Errorf("last active at %d", f.LastActiveTime)
	}
	if got := alice.lookAt("carol"); got[0].Online {
		t.Errorf("got %+v", got)
	}
	h.reconnect("bob", bob.welcome.DeviceID, "")
	carol := h.connect("carol")
	alice.wantPresence("carol", true) // and nothing of bob, who is not looked at any more
	alice.lookAt()
	goAway(t, h, "carol", carol)
	alice.quiet()
}

// Who comes back in time was never away, and a device's newer connection is no end.
func TestPresenceGrace(t *testing.T) {
	h := newHouse(t, grace(time.Hour))
	alice, bob := h.connect("alice"), h.connect("bob")
	alice.lookAt("bob")
	for range 3 {
		h.reconnect("bob", bob.welcome.DeviceID, "")
		bob.wantClose(schemas.CloseReplaced)
		bob = h.reconnect("bob", bob.welcome.DeviceID, "")
		goAway(t, h, "bob", bob)
		alice.quiet()
		if got := h.connect("dave").lookAt("bob"); !got[0].Online {
			t.Error("a viewer who comes now does not see the one who is about to be back")
		}
		bob = h.reconnect("bob", bob.welcome.DeviceID, "")
	}
	alice.quiet()
}

func TestPresenceHidden(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	hidden := func(what string) {
		t.Helper()
		if f := alice.wantPresence("bob", false); f.LastActiveTime != 0 {
			t.Errorf("%s: last active at %d", what, f.LastActiveTime)
		}
		if got := h.connect("alice"); got.lookAt("bob")[0] != (schemas.Presence{UserID: "bob"}) {
			t.Errorf("%s: shown to who asks now", what)
		} else {
			h.call("alice", "DELETE", "/devices/"+string(got.welcome.DeviceID), "")
		}
	}
	if got := alice.lookAt("bob"); !got[0].Online {
		t.Fatalf("got %+v", got)
	}
	h.changeSettings("bob", `{"last_seen":"nobody"}`)
	hidden("while subscribed")
	if got := bob.lookAt("bob"); !got[0].Online {
		t.Errorf("hidden from oneself: %+v", got)
	}
	h.changeSettings("bob", `{"last_seen":"everyone"}`)
	alice.wantPresence("bob", true)
	h.block("bob", "alice")
	hidden("blocked")
	carol := h.connect("carol")
	if got := carol.lookAt("bob"); !got[0].Online {
		t.Errorf("hidden from others than the blocked: %+v", got)
	}
	h.unblock("bob", "alice")
	alice.wantPresence("bob", true)
	h.block("alice", "bob") // whom one blocks one may still see
	alice.quiet()
}

// A rolling restart: bob moves from one gateway to the other, and the first drains.
func TestPresenceOverARollingRestart(t *testing.T) {
	for _, endFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("end first %t", endFirst), func(t *testing.T) {
			nats := streamstest.Server(t, t.TempDir())
			h, old := joinHouse(t, nats), joinHouse(t, nats)
			alice, bob := h.connect("alice"), old.connect("bob")
			if got := alice.lookAt("bob"); !got[0].Online {
				t.Fatalf("got %+v", got)
			}
			if endFirst {
				old.stop()
				h.reconnect("bob", bob.welcome.DeviceID, "")
			} else {
				h.reconnect("bob", bob.welcome.DeviceID, "")
				old.stop()
			}
			eventually(t, "the end of the old gateway's lease", func() bool {
				return !h.conn.Presence().Alive(old.name)
			})
			for range 3 { // and of the turn that notices
				h.connect("dave").leave()
			}
			alice.quiet()
			if got := alice.lookAt("bob"); !got[0].Online {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestPresenceOfWhoRemovesTheDevice: when somebody was there last does not go with the
// device that they were there with.
func TestPresenceOfWhoRemovesTheDevice(t *testing.T) {
	h := newHouse(t, grace(time.Millisecond))
	alice, bob := h.connect("alice"), h.connect("bob")
	before := schemas.Now()
	h.call("bob", "DELETE", "/devices/"+string(bob.welcome.DeviceID), "")
	bob.wantClose(schemas.CloseDeviceRemoved)
	got := alice.lookAt("bob")[0]
	if got.Online { // the end of the session is on its way
		got = alice.wantPresence("bob", false)
	}
	if got.LastActiveTime < before {
		t.Errorf("after %d: %+v", before, got)
	}
}

// TestPresenceIsMadeAnew: SESSIONS and GATEWAYS are replaced, as by `streams apply`.
// Numbers in the new bucket begin anew.
func TestPresenceIsMadeAnew(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h, other := joinHouse(t, nats), joinHouse(t, nats)
	alice, bob := h.connect("alice"), other.connect("bob")
	alice.lookAt("bob")
	js := streamstest.JetStream(t, nats)
	for range 100 {
		if _, err := js.Publish(h.ctx(), "$KV.GATEWAYS."+h.name, schemas.Encode(schemas.GatewayLease{Gateway: h.name})); err != nil {
			t.Fatal(err)
		}
	}
	for _, bucket := range []string{"SESSIONS", "GATEWAYS"} {
		if err := js.DeleteKeyValue(h.ctx(), bucket); err != nil {
			t.Fatal(err)
		}
	}
	streamstest.Connect(t, nats, streams.Topology{}) // applies it
	for _, d := range []*device{alice, bob} {
		want[*schemas.Reconnect](d)
		d.wantClose(schemas.CloseRestarting)
	}
	bob = other.reconnect("bob", bob.welcome.DeviceID, "")
	alice = h.reconnect("alice", alice.welcome.DeviceID, "")
	if _, err := js.Publish(h.ctx(), "$KV.GATEWAYS.third", schemas.Encode(schemas.GatewayLease{Gateway: "third"})); err != nil {
		t.Fatal(err)
	}
	for _, on := range []*house{h, other} {
		eventually(t, "a lease in the new bucket", func() bool { return on.conn.Presence().Alive("third") })
	}
	if got := alice.lookAt("bob"); !got[0].Online {
		t.Errorf("got %+v", got)
	}
	if got := bob.lookAt("alice"); !got[0].Online {
		t.Errorf("got %+v", got)
	}
}

// ghost is a gateway without sockets, which can die.
type ghost struct {
	t    *testing.T
	conn *streams.Conn
	name string
	stop func()
}

func newGhost(t *testing.T, h *house) *ghost {
	return &ghost{t: t, conn: streamstest.Connect(t, h.nats, streams.Topology{}), name: "ghost", stop: func() {}}
}

// live takes the lease, and die gives it up with all sessions left as they are.
func (g *ghost) live() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.conn.Presence().KeepLease(ctx, schemas.GatewayLease{Gateway: g.name, StartedAt: schemas.Now()}, func(err error) { g.t.Error(err) }, func() { g.t.Error("the buckets are as they were") })
	}()
	g.stop = func() { cancel(); <-done }
	g.t.Cleanup(g.stop)
}

func (g *ghost) die() { g.stop() }

// begin registers a device and has a session of it; told says whether anybody hears.
func (g *ghost) begin(u schemas.UserID, told bool) (end func()) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
	defer cancel()
	d := g.conn.Directory()
	if err := d.EnsureUser(ctx, u); err != nil {
		g.t.Fatal(err)
	}
	dev, err := d.AddDevice(ctx, u, schemas.Device{DeviceID: schemas.DeviceID(g.conn.Clock().NextULID()), Name: "x", CreatedAt: 1}, 3)
	if err != nil {
		g.t.Fatal(err)
	}
	a := subject.Address{User: u, Device: dev.DeviceID}
	s := schemas.Session{Gateway: g.name, ConnectedAt: schemas.Now()}
	_, rev, err := g.conn.Presence().Begin(ctx, a, &s)
	if err != nil {
		g.t.Fatal(err)
	}
	e := schemas.SessionEvent{UserID: u, DeviceID: dev.DeviceID, SessionID: s.SessionID, Gateway: g.name, Online: true, Timestamp: s.ConnectedAt}
	if told {
		g.conn.Bus().PublishSession(e)
	}
	return func() {
		g.t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), streamstest.Timeout)
		defer cancel()
		if _, err := g.conn.Presence().End(ctx, a, s, rev); err != nil {
			g.t.Fatal(err)
		}
	}
}

func TestPresenceWhenAGatewayDies(t *testing.T) {
	h := newHouse(t, grace(time.Hour)) // it has no part in this
	g := newGhost(t, h)
	alice := h.connect("alice")
	alice.lookAt("bob")
	g.begin("bob", true) // before its lease is known
	alice.roundTrip()
	for _, f := range seen[*schemas.Presence](alice) {
		if f.Online {
			t.Errorf("online at a gateway without a lease: %+v", f)
		}
	}
	g.live()
	alice.wantPresence("bob", true)
	g.die()
	alice.wantPresence("bob", false)
	g.live() // it was only out of reach
	alice.wantPresence("bob", true)
}

// A gateway that came and went between two looks takes offline who was shown meanwhile.
func TestPresenceWhenAGatewayFlaps(t *testing.T) {
	h := newHouse(t, grace(time.Hour))
	g := newGhost(t, h)
	alice := h.connect("alice")
	alice.lookAt("bob")
	g.begin("bob", true)
	g.live()
	alice.wantPresence("bob", true)
	g.die()
	alice.wantPresence("bob", false)
}

// Events may be lost: everybody is looked at again, and so is who seems to have
// gone.
func TestPresenceFindsWhatNobodyTold(t *testing.T) {
	h := newHouse(t, grace(time.Millisecond), func(o *gateway.Options) { o.PresenceRecheck = 60 * time.Millisecond })
	g := newGhost(t, h)
	g.live()
	alice := h.connect("alice")
	alice.lookAt("bob")
	end := g.begin("bob", false)
	alice.wantPresence("bob", true)
	end()
	alice.wantPresence("bob", false)
}

// All of 500 people may change at once, and the viewer's connection bears it.
func TestPresenceOfManyAtOnce(t *testing.T) {
	h := newHouse(t)
	g := newGhost(t, h)
	g.live()
	ids := make([]schemas.UserID, schemas.MaxPresenceUsers)
	var begins sync.WaitGroup
	for i := range ids {
		ids[i] = schemas.UserID(fmt.Sprint("user", i))
	}
	for some := range slices.Chunk(ids, 50) {
		begins.Go(func() {
			for _, u := range some {
				g.begin(u, false)
			}
		})
	}
	begins.Wait()
	alice := h.connect("alice")
	for i, got := range alice.lookAt(ids...) {
		if got.UserID != ids[i] || !got.Online {
			t.Fatalf("answer %d is %+v", i, got)
		}
	}
	g.die()
	left := make(map[schemas.UserID]bool)
	for range ids {
		f := want[*schemas.Presence](alice)
		if f.Online {
			t.Fatalf("got %+v", f)
		}
		left[f.UserID] = true
	}
	if len(left) != len(ids) {
		t.Errorf("%d of %d went", len(left), len(ids))
	}
}

func TestPresenceSubscribeRefused(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	alice.lookAt("bob")
	ids := make([]schemas.UserID, schemas.MaxPresenceUsers+1)
	for i := range ids {
		ids[i] = schemas.UserID(fmt.Sprint("u", i))
	}
	alice.send(&schemas.PresenceSubscribe{UserIDs: ids})
	alice.wantError(schemas.CodeInvalidArgument)
	h.connect("bob")
	alice.wantPresence("bob", true) // the earlier list holds
}

// A list that cannot be looked up changes nothing either.
func TestPresenceSubscribeUnavailable(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	h.token("bob")
	alice.lookAt("bob")
	alice.lookAt("bob", "bob2")
	h.nats.Stop()
	alice.send(&schemas.PresenceSubscribe{UserIDs: []schemas.UserID{"carol", "dave"}})
	alice.wantError(schemas.CodeUnavailable)
	if got := gauge(t, h, "roost_gateway_presence_watched"); got != 2 {
		t.Errorf("%v are watched, want the two of before", got)
	}
}

func gauge(t *testing.T, h *house, name string) float64 {
	t.Helper()
	families, err := h.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

// The same device connects again and again while it looks at people who come and go
// on two gateways; at the end it sees what is, and nothing is left behind.
func TestPresenceOfADeviceThatConnectsTwice(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h, there := joinHouse(t, nats, grace(time.Millisecond)), joinHouse(t, nats, grace(time.Millisecond))
	first, bob := h.connect("alice"), there.connect("bob")
	token := h.token("alice")
	var all sync.WaitGroup
	for range 2 {
		sockets := []*device{h.dial(), h.dial(), h.dial(), h.dial(), h.dial()}
		all.Go(func() {
			for _, d := range sockets {
				d.send(&schemas.Hello{Token: token, DeviceID: first.welcome.DeviceID})
				d.send(&schemas.PresenceSubscribe{UserIDs: []schemas.UserID{"bob", "carol"}})
				_, _ = d.read() // perhaps it was replaced already
			}
		})
	}
	all.Go(func() {
		for range 5 {
			bob = there.reconnect("bob", bob.welcome.DeviceID, "")
			goAway(t, there, "bob", bob)
		}
		bob = there.reconnect("bob", bob.welcome.DeviceID, "")
	})
	all.Wait()
	alice := h.reconnect("alice", first.welcome.DeviceID, "")
	if got := alice.lookAt("carol", "bob"); got[0].Online || !got[1].Online {
		t.Errorf("got %+v", got)
	}
	goAway(t, there, "bob", bob)
	alice.wantPresence("bob", false)
	goAway(t, h, "alice", alice)
	eventually(t, "nobody is watched", func() bool { return gauge(t, h, "roost_gateway_presence_watched") == 0 })
	if status, _ := h.call("alice", "GET", "/user/bob/status", ""); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}
