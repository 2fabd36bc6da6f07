package streams_test

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams"
	"roost/streams/msgid"
	"roost/streams/presence"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// alive asks until a process knows what it should of a gateway's lease.
func alive(t *testing.T, c *streams.Conn, gateway string, want bool) {
	t.Helper()
	ctx := timeout(t)
	for c.Presence().Alive(gateway) != want {
		if ctx.Err() != nil {
			t.Fatalf("gateway %s alive is not %t", gateway, want)
		}
		if _, _, err := c.Presence().Status(ctx, "nobody", nil); err != nil {
			t.Fatal(err)
		}
	}
}

// keepLease is a gateway that lives until the returned function is called.
func keepLease(t *testing.T, c *streams.Conn, gateway string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Presence().KeepLease(ctx, schemas.GatewayLease{Gateway: gateway, StartedAt: schemas.Now()}, func(err error) { t.Error(err) }, func() { t.Error("the buckets are as they were") })
	}()
	return func() {
		cancel()
		streamstest.Receive(t, done)
	}
}

func TestSessions(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	a := streamstest.NewAddress(c)
	first := schemas.Session{SessionID: "first", Gateway: "here", ConnectedAt: schemas.Now() - 1000}
	before, rev, err := c.Presence().Begin(ctx, a, &first)
	if err != nil || before != (schemas.Session{}) {
		t.Fatalf("before the first: %+v, %v", before, err)
	}
	second := schemas.Session{SessionID: "second", Gateway: "there", ConnectedAt: schemas.Now()}
	before, rev2, err := other.Presence().Begin(ctx, a, &second)
	if err != nil || before != first {
		t.Fatalf("before the second: %+v, %v", before, err)
	}
	if current, err := c.Presence().End(ctx, a, first, rev); err != nil || current {
		t.Errorf("the end of a session that was taken over: %t, %v", current, err)
	}
	if current, err := other.Presence().End(ctx, a, second, rev2); err != nil || !current {
		t.Errorf("the end of the session: %t, %v", current, err)
	}
	before, _, err = c.Presence().Begin(ctx, a, &first)
	if err != nil || before.SessionID != "second" || before.Gateway != "" || before.EndedAt < before.ConnectedAt {
		t.Errorf("after the end: %+v, %v", before, err)
	}
	if err := c.Presence().Delete(ctx, a); err != nil {
		t.Error(err)
	}
	if err := c.Presence().Delete(ctx, streamstest.NewAddress(c)); err != nil {
		t.Errorf("a device that never was: %v", err)
	}
	if before, _, err = c.Presence().Begin(ctx, a, &first); err != nil || before != (schemas.Session{}) {
		t.Errorf("after it was deleted: %+v, %v", before, err)
	}
}

func TestStatus(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	phone, tablet := newDevice(c), newDevice(c)
	tablet.LastActive = schemas.Now() - 5000
	devices := []schemas.Device{phone, tablet}
	expect := func(online bool, notBefore, notAfter schemas.Timestamp) {
		t.Helper()
		is, last, err := other.Presence().Status(ctx, "alice", devices)
		if err != nil || is != online || last < notBefore || last > notAfter {
			t.Errorf("online %t, last at %d, %v; want %t, %d to %d", is, last, err, online, notBefore, notAfter)
		}
	}
	expect(false, tablet.LastActive, tablet.LastActive)
	stop := keepLease(t, c, "here")
	alive(t, other, "here", true)
	a := subject.Address{User: "alice", Device: phone.DeviceID}
	session := schemas.Session{SessionID: "one", Gateway: "here", ConnectedAt: schemas.Now() - 1000}
	_, rev, err := c.Presence().Begin(ctx, a, &session)
	if err != nil {
		t.Fatal(err)
	}
	start := schemas.Now()
	expect(true, start, start+60_000)
	if _, err := c.Presence().End(ctx, a, session, rev); err != nil {
		t.Fatal(err)
	}
	expect(false, start, schemas.Now())
	if _, _, err := c.Presence().Begin(ctx, a, &session); err != nil {
		t.Fatal(err)
	}
	expect(true, start, start+60_000)
	stop() // the gateway goes and leaves the session as it is
	alive(t, other, "here", false)
	alive(t, c, "here", false)
	expect(false, session.ConnectedAt, session.ConnectedAt)
}

// A gateway that dies says nothing: its lease runs out.
func TestLeaseRunsOut(t *testing.T) {
	server := streamstest.Server(t, t.TempDir())
	now := newClock()
	c := streamstest.Connect(t, server, onePartition())
	other := streamstest.Connect(t, server, onePartition(), func(o *streams.Options) { o.Now = now.Now })
	stop := keepLease(t, c, "here")
	defer stop()
	alive(t, other, "here", true)
	now.Advance(presence.LeaseTTL)
	if !other.Presence().Alive("here") {
		t.Error("it is over before its time")
	}
	now.Advance(time.Millisecond)
	if other.Presence().Alive("here") {
		t.Error("a lease that was not renewed holds")
	}
	if other.Presence().Alive("elsewhere") {
		t.Error("a gateway that never was is alive")
	}
	if late := streamstest.Connect(t, server, onePartition()); !late.Presence().Alive("here") {
		t.Error("a process that starts does not know the leases that are there")
	}
}

// TestNewerSessionHasTheLargerID also where the clock of its gateway is behind.
func TestNewerSessionHasTheLargerID(t *testing.T) {
	c := streamstest.Connect(t, streamstest.Server(t, t.TempDir()), streams.Topology{})
	a := subject.Address{User: "alice", Device: schemas.DeviceID(c.Clock().NextULID())}
	ahead := msgid.NewClock(func() time.Time { return time.Now().Add(time.Hour) })
	old := schemas.Session{SessionID: schemas.SessionID(ahead.NextULID()), Gateway: "gw"}
	if _, _, err := c.Presence().Begin(t.Context(), a, &old); err != nil {
		t.Fatal(err)
	}
	newer := schemas.Session{Gateway: "gw"}
	if _, _, err := c.Presence().Begin(t.Context(), a, &newer); err != nil || newer.SessionID <= old.SessionID {
		t.Errorf("the newer session is %s after %s (%v)", newer.SessionID, old.SessionID, err)
	}
}

// Of connections that begin at once, the record is of the newest, and only that
// one's end is the end.
func TestSessionsBeginAtOnce(t *testing.T) {
	c, other := pair(t)
	ctx, a := timeout(t), streamstest.NewAddress(c)
	type begun struct {
		schemas.Session
		revision uint64
	}
	all := make(chan begun, 8)
	for i := range cap(all) {
		sessions := []*streams.Conn{c, other}[i%2].Presence()
		go func() {
			s := schemas.Session{Gateway: "gw"}
			_, revision, err := sessions.Begin(ctx, a, &s)
			if err != nil {
				t.Error(err)
			}
			all <- begun{s, revision}
		}()
	}
	var sessions []begun
	for range cap(all) {
		sessions = append(sessions, streamstest.Receive(t, all))
	}
	slices.SortFunc(sessions, func(a, b begun) int { return cmp.Compare(a.SessionID, b.SessionID) })
	for i, s := range sessions {
		current, err := other.Presence().End(ctx, a, s.Session, s.revision)
		if err != nil || current != (i == len(sessions)-1) {
			t.Errorf("session %d of %d, by age, was the current one: %t, %v", i+1, len(sessions), current, err)
		}
	}
}

// A gateway remembers the sessions that ended there; one that another gateway had
// since then counts, and so does a session that was deleted.
func TestSessionElsewhereMeanwhile(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	a := streamstest.NewAddress(c)
	session := func(at *streams.Conn) (before, s schemas.Session) {
		t.Helper()
		s = schemas.Session{Gateway: "somewhere", ConnectedAt: schemas.Now()}
		before, rev, err := at.Presence().Begin(ctx, a, &s)
		if err != nil {
			t.Fatal(err)
		}
		if current, err := at.Presence().End(ctx, a, s, rev); err != nil || !current {
			t.Fatalf("the end: %t, %v", current, err)
		}
		return before, s
	}
	_, here := session(c)
	before, there := session(other)
	if before.SessionID != here.SessionID || there.SessionID <= here.SessionID {
		t.Errorf("%v began behind %v, not %v", there.SessionID, before.SessionID, here.SessionID)
	}
	before, again := session(c)
	if before.SessionID != there.SessionID || again.SessionID <= there.SessionID {
		t.Errorf("%v began behind %v, not %v", again.SessionID, before.SessionID, there.SessionID)
	}
	if err := c.Presence().Delete(ctx, a); err != nil {
		t.Fatal(err)
	}
	if before, _ := session(c); before.SessionID != "" {
		t.Errorf("a deleted session: %+v", before)
	}
}

// setBack has a server lose, with its machine, what was written by write.
func (r *restartable) setBack(write func()) {
	r.t.Helper()
	r.stop()
	written := filepath.Join(r.t.TempDir(), "written")
	if err := os.CopyFS(written, os.DirFS(r.dir)); err != nil {
		r.t.Fatal(err)
	}
	r.start()
	write()
	r.stop()
	if err := errors.Join(os.RemoveAll(r.dir), os.CopyFS(r.dir, os.DirFS(written))); err != nil {
		r.t.Fatal(err)
	}
	r.start()
}

// TestWatchOfLeasesThatWasDeaf: the server lost its last writes with its machine, so
// the watch of the leases waits for numbers that were there before.
func TestWatchOfLeasesThatWasDeaf(t *testing.T) {
	r := newRestartable(t)
	r.connect(onePartition()).Close()
	var c *streams.Conn
	r.setBack(func() {
		c = r.connect(onePartition())
		for range 100 {
			_, err := c.JetStream().Publish(timeout(t), "$KV.GATEWAYS.lost", schemas.Encode(schemas.GatewayLease{Gateway: "lost"}))
			if err != nil {
				t.Fatal(err)
			}
		}
		alive(t, c, "lost", true)
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Presence().KeepLease(ctx, schemas.GatewayLease{Gateway: "own"}, func(error) {}, func() { t.Error("it had written nothing before") })
	}()
	for end := time.Now().Add(streamstest.Timeout); !c.Presence().Alive("own"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the watch stays deaf")
		}
	}
	cancel()
	streamstest.Receive(t, done)
}

// TestSessionsThatWereLost: a gateway learns that what it wrote is gone, and a session
// whose begin is gone can end all the same.
func TestSessionsThatWereLost(t *testing.T) {
	r := newRestartable(t)
	before := r.connect(onePartition())
	a := streamstest.NewAddress(before)
	older := schemas.Session{Gateway: "other", ConnectedAt: schemas.Now()}
	if _, _, err := before.Presence().Begin(timeout(t), a, &older); err != nil {
		t.Fatal(err)
	}
	before.Close()
	var c *streams.Conn
	var rev uint64
	session := schemas.Session{Gateway: "own", ConnectedAt: schemas.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	forgotten, done := make(chan struct{}, 1), make(chan struct{})
	r.setBack(func() {
		c = r.connect(onePartition())
		var err error
		if _, rev, err = c.Presence().Begin(timeout(t), a, &session); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			_, err := c.JetStream().Publish(timeout(t), "$KV.GATEWAYS.other", schemas.Encode(schemas.GatewayLease{Gateway: "other"}))
			if err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			defer close(done)
			c.Presence().KeepLease(ctx, schemas.GatewayLease{Gateway: "own"}, func(error) {}, func() { forgotten <- struct{}{} })
		}()
		alive(t, c, "own", true)
	})
	streamstest.Receive(t, forgotten)
	if current, err := c.Presence().End(timeout(t), a, session, rev); err != nil || !current {
		t.Errorf("end of the newest session: %t, %v", current, err)
	}
	all, err := c.Presence().Sessions(timeout(t), []subject.Address{a})
	if err != nil || all[0].SessionID != session.SessionID || all[0].Gateway != "" {
		t.Errorf("on record is %+v, %v", all, err)
	}
	cancel()
	streamstest.Receive(t, done)
}

// TestBucketOfLeasesIsAnother: the numbers in the new bucket are larger already than
// those that the gateway wrote in the old one.
func TestBucketOfLeasesIsAnother(t *testing.T) {
	c := connect(t, onePartition())
	ctx, cancel := context.WithCancel(context.Background())
	forgotten, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		c.Presence().KeepLease(ctx, schemas.GatewayLease{Gateway: "own"}, func(error) {}, func() { forgotten <- struct{}{} })
	}()
	alive(t, c, "own", true)
	for _, bucket := range []string{"SESSIONS", "GATEWAYS"} {
		if err := c.JetStream().DeleteKeyValue(timeout(t), bucket); err != nil {
			t.Fatal(err)
		}
	}
	apply(t, c, onePartition())
	for range 10 {
		_, err := c.JetStream().Publish(timeout(t), "$KV.GATEWAYS.other", schemas.Encode(schemas.GatewayLease{Gateway: "other"}))
		if err != nil {
			t.Fatal(err)
		}
	}
	streamstest.Receive(t, forgotten)
	cancel()
	streamstest.Receive(t, done)
}
