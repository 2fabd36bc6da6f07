package streams_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"roost/schemas"
	"roost/streams"
	"roost/streams/group"
	"roost/streams/subject"
)

func TestRequest(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	q := schemas.NewRequest("POST /groups", "key", "/groups", schemas.NewGroup{GroupName: "friends"})
	first, known, err := c.Request(ctx, "alice", q)
	if err != nil || known || first.ID == "" || first.KeyHash != q.KeyHash || first.RequestHash != q.RequestHash {
		t.Fatalf("%+v, %v, %v", first, known, err)
	}
	again, known, err := other.Request(ctx, "alice", q)
	if err != nil || !known || again != first {
		t.Errorf("at another gateway %+v, %v, %v, not %+v", again, known, err, first)
	}
	if next := other.Clock().Next(); next <= first.ID {
		t.Errorf("the next id is %s, not larger than %s", next, first.ID)
	}
	changed := schemas.NewRequest("POST /groups", "key", "/groups", schemas.NewGroup{GroupName: "enemies"})
	if _, _, err := other.Request(ctx, "alice", changed); code(err) != schemas.CodeConflict {
		t.Errorf("another body: %v", err)
	}
	for name, free := range map[string]struct {
		user schemas.UserID
		q    schemas.Request
	}{
		"another user":  {"bob", q},
		"another key":   {"alice", schemas.NewRequest("POST /groups", "key2", "/groups", schemas.NewGroup{GroupName: "friends"})},
		"another route": {"alice", schemas.NewRequest("POST /devices", "key", "/devices", schemas.NewDevice{Name: "phone"})},
	} {
		if one, known, err := c.Request(ctx, free.user, free.q); err != nil || known || one.ID == first.ID {
			t.Errorf("%s: %+v, %v, %v", name, one, known, err)
		}
	}
}

// Of many at once one reserves the id.
func TestRequestsAtOnce(t *testing.T) {
	c, other := pair(t)
	q := schemas.NewRequest("POST /devices", "key", "/devices", schemas.NewDevice{Name: "phone"})
	var wg sync.WaitGroup
	got := make([]schemas.Request, 8)
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], _, err = []*streams.Conn{c, other}[i%2].Request(timeout(t), "alice", q); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if all := slices.Compact(got); len(all) != 1 {
		t.Errorf("%d ids were reserved: %+v", len(all), all)
	}
}

// What a user's requests take is bounded, in number and time.
func TestRequestsAreForgotten(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	request := func(i int) schemas.Request {
		return schemas.NewRequest("POST /devices", fmt.Sprint(i), "/devices", schemas.NewDevice{Name: "phone"})
	}
	for i := range schemas.MaxRequests + 1 {
		if _, known, err := c.Request(ctx, "alice", request(i)); err != nil || known {
			t.Fatal(i, known, err)
		}
	}
	e, err := bucket(t, c, "REQUESTS").Get(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	all, err := schemas.Decode[schemas.Requests](e.Value())
	if err != nil || len(all.Requests) != schemas.MaxRequests || len(e.Value()) > 16<<10 {
		t.Errorf("%d requests in %d bytes, %v", len(all.Requests), len(e.Value()), err)
	}
	if _, known, err := c.Request(ctx, "alice", request(1)); err != nil || !known {
		t.Errorf("one of the last %d is not known: %v", schemas.MaxRequests, err)
	}
	stream, err := c.JetStream().Stream(ctx, "KV_REQUESTS")
	if err != nil {
		t.Fatal(err)
	}
	if age := stream.CachedInfo().Config.MaxAge.Milliseconds(); age != schemas.RequestMemory {
		t.Errorf("the bucket keeps a record for %d ms", age)
	}
}

// A gateway that dies at any point of making a group leaves what a retry completes.
func TestGroupIsMadeOnce(t *testing.T) {
	c, other := pair(t)
	alice, bob := newcomer(t, c, "alice"), newcomer(t, c, "bob")
	ctx := timeout(t)
	body := schemas.NewGroup{GroupName: "friends", Members: []schemas.UserID{"bob"}, HistoryStorage: schemas.HistoryDays}
	q, _, err := c.Request(ctx, "alice", schemas.NewRequest("POST /groups", "key", "/groups", body))
	if err != nil {
		t.Fatal(err)
	}
	if g, err := other.Groups().Made(ctx, q, "alice", body); g != nil || err != nil {
		t.Fatalf("nothing was made yet: %+v, %v", g, err)
	}
	made, err := c.Groups().Create(ctx, q, "alice", body)
	if err != nil || made.GroupID != q.GroupID() {
		t.Fatal(made, err)
	}
	pending := *made // as it is when a gateway dies right after it wrote the group
	leave(t, c, &pending)
	same := func(how string, g *schemas.Group, err error) {
		t.Helper()
		if err != nil || g == nil || string(schemas.Encode(g.Info())) != string(schemas.Encode(made.Info())) {
			t.Errorf("%s: %+v, %v, not %+v", how, g, err, made)
		}
		for _, a := range []subject.Address{alice, bob} {
			if n := inboxLen(t, c, a); n != 1 {
				t.Errorf("%s: %s has %d entries, want the update", how, a.User, n)
			}
		}
	}
	g, err := other.Groups().Made(ctx, q, "alice", body)
	same("pending", g, err)
	if settled, err := c.Groups().Peek(ctx, q.GroupID()); err != nil || settled.Pending != nil {
		t.Errorf("the group is %+v, %v", settled, err)
	}
	g, err = other.Groups().Create(ctx, q, "alice", body)
	same("made again", g, err)
	// Of a group that was changed and left by all since, the answer is as it was.
	for _, u := range []schemas.UserID{"bob", "alice"} {
		if _, err := c.Groups().Change(ctx, q.GroupID(), u, func(e *group.Edit) error {
			e.Remove(schemas.GroupLeft, u)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	g, err = other.Groups().Made(ctx, q, "alice", body)
	if err != nil || g == nil || g.GroupID != made.GroupID {
		t.Errorf("deleted: %+v, %v", g, err)
	}
	if _, err := other.Groups().Create(ctx, q, "alice", body); err != nil {
		t.Error(err)
	}
	if _, err := c.Groups().Peek(ctx, q.GroupID()); !errors.Is(err, group.ErrNotFound) {
		t.Errorf("the group is there again: %v", err)
	}
}

// A device is registered once under its id, and not again once it was removed.
func TestDeviceIsRegisteredOnce(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	if err := c.Directory().EnsureUser(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	dev := newDevice(c)
	for i, conn := range []*streams.Conn{c, other, c} {
		got, err := conn.Directory().AddDevice(ctx, "alice", dev, 1)
		if err != nil || got.DeviceID != dev.DeviceID || !got.Unclaimed {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
	}
	if _, err := c.RemoveDevice(ctx, subject.Address{User: "alice", Device: dev.DeviceID}); err != nil {
		t.Fatal(err)
	}
	if got, err := other.Directory().AddDevice(ctx, "alice", dev, 1); err != nil || got.DeviceID != dev.DeviceID || got.Unclaimed {
		t.Errorf("removed: %+v, %v", got, err)
	}
	p, err := c.Directory().Fresh(ctx, "alice")
	if err != nil || len(p.Devices) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}
