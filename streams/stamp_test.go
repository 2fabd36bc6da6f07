package streams_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"roost/schemas"
	"roost/streams"
	"roost/streams/streamstest"
)

// Every gateway of a cluster tells whose message an id is, and no other id is it.
func TestStamps(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	var mine, theirs *streams.Stamps
	var wg sync.WaitGroup
	for conn, to := range map[*streams.Conn]**streams.Stamps{c: &mine, other: &theirs} { // the first at the same time
		wg.Go(func() {
			s, err := conn.Stamps(ctx)
			if err != nil {
				t.Error(err)
			}
			*to = s
		})
	}
	if wg.Wait(); t.Failed() {
		return
	}
	bob, group := schemas.Participant{User: "bob"}, schemas.Participant{Group: "g-01K73S8AC0GR0VPGR0VPGR0VPG"}
	id := mine.Next("alice", bob)
	if !theirs.Made(id, "alice", bob) {
		t.Errorf("another gateway does not know %s", id)
	}
	changed := []byte(id)
	changed[9]++ // the time
	for what, made := range map[string]bool{
		"another sender":      theirs.Made(id, "bob", bob),
		"another receiver":    theirs.Made(id, "alice", schemas.Participant{User: "carol"}),
		"a group":             theirs.Made(id, "alice", group),
		"moved between names": theirs.Made(id, "alicebob", schemas.Participant{}),
		"another time":        theirs.Made(schemas.MessageID(changed), "alice", bob),
		"an id of no message": theirs.Made(c.Clock().Next(), "alice", bob),
		"no id":               theirs.Made("nonsense", "alice", bob),
	} {
		if made {
			t.Errorf("%s: taken for a message of alice to bob", what)
		}
	}
	id = mine.Next("alice", group)
	if !theirs.Made(id, "alice", group) || theirs.Made(id, "alice", schemas.Participant{Group: "g-01K73S8AC0GR0VPGR0VPGR0VPH"}) {
		t.Error("a message to a group is not told from one to another")
	}
}

// Ids of messages and others increase among one another.
func TestStampsIncrease(t *testing.T) {
	c := streamstest.Connect(t, streamstest.Server(t, t.TempDir()), streams.Topology{})
	stamps, err := c.Stamps(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	last := schemas.MessageID("")
	for range 20_000 {
		id := c.Clock().Next()
		if rand.N(2) == 0 {
			id = stamps.Next("alice", schemas.Participant{User: "bob"})
		}
		if id <= last {
			t.Fatalf("%s came after %s", id, last)
		}
		last = id
	}
}

func BenchmarkStamp(b *testing.B) {
	c := streamstest.Connect(b, streamstest.Server(b, b.TempDir()), streams.Topology{})
	stamps, err := c.Stamps(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		stamps.Next("alice", schemas.Participant{User: "bob"})
	}
}
