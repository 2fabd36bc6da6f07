package streams_test

import (
	"sync"
	"testing"

	"roost/schemas"
	"roost/streams"
	"roost/streams/msgid"
)

// Every gateway of a cluster verifies an id that one of them signed, and no other id.
func TestSigner(t *testing.T) {
	c, other := pair(t)
	ctx := timeout(t)
	var mine, theirs *msgid.Signer
	var wg sync.WaitGroup
	for conn, to := range map[*streams.Conn]**msgid.Signer{c: &mine, other: &theirs} { // the first at the same time
		wg.Go(func() {
			s, err := conn.Signer(ctx)
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
	id := mine.Sign("alice", bob)
	if !theirs.Verify(id, "alice", bob) {
		t.Errorf("another gateway does not know %s", id)
	}
	changed := []byte(id)
	changed[9]++ // the time
	for what, made := range map[string]bool{
		"another sender":      theirs.Verify(id, "bob", bob),
		"another receiver":    theirs.Verify(id, "alice", schemas.Participant{User: "carol"}),
		"a group":             theirs.Verify(id, "alice", group),
		"moved between names": theirs.Verify(id, "alicebob", schemas.Participant{}),
		"another time":        theirs.Verify(schemas.MessageID(changed), "alice", bob),
		"an id of no message": theirs.Verify(c.Clock().Next(), "alice", bob),
		"no id":               theirs.Verify("nonsense", "alice", bob),
	} {
		if made {
			t.Errorf("%s: taken for a message of alice to bob", what)
		}
	}
	id = mine.Sign("alice", group)
	if !theirs.Verify(id, "alice", group) || theirs.Verify(id, "alice", schemas.Participant{Group: "g-01K73S8AC0GR0VPGR0VPGR0VPH"}) {
		t.Error("a message to a group is not told from one to another")
	}
}
