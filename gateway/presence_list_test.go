package gateway_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"roost/gateway"
	"roost/schemas"
)

// A list belongs to the connection.
func TestPresenceListEndsWithTheConnection(t *testing.T) {
	h := newHouse(t, grace(time.Millisecond))
	alice := h.connect("alice")
	alice.lookAt("bob")
	goAway(t, h, "alice", alice)
	alice = h.reconnect("alice", alice.welcome.DeviceID, "")
	bob := h.connect("bob")
	eventually(t, "bob is online", func() bool { return h.connect("carol").isOnline("bob") })
	alice.quiet()
	goAway(t, h, "bob", bob)
	alice.quiet()
	eventually(t, "nobody is watched", func() bool { return gauge(t, h, "roost_gateway_presence_watched") == 0 })
}

// isOnline asks once, with a connection of its own.
func (d *device) isOnline(u schemas.UserID) bool {
	d.t.Helper()
	online := d.lookAt(u)[0].Online
	d.leave()
	return online
}

// A list of 500 ids of 128 bytes comes in several frames, each as large as one may be.
func TestLongestPresenceList(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	ids := make([]schemas.UserID, schemas.MaxPresenceUsers)
	for i := range ids {
		ids[i] = schemas.UserID(fmt.Sprintf("%0128d", i))
	}
	frames := 0
	for some := range slices.Chunk(ids, 120) {
		f := &schemas.PresenceSubscribe{UserIDs: some, Add: frames > 0}
		if n := len(schemas.EncodeFrame(f)); n > schemas.MaxFrameBytes {
			t.Fatalf("the frame has %d bytes", n)
		}
		alice.send(f)
		frames++
	}
	for _, u := range ids {
		if got := want[*schemas.Presence](alice); got.UserID != u {
			t.Fatalf("got %+v, not that of %s", got, u)
		}
	}
	watched := func() float64 { return gauge(t, h, "roost_gateway_presence_watched") }
	if n := watched(); n != schemas.MaxPresenceUsers {
		t.Errorf("%v are watched", n)
	}
	alice.send(&schemas.PresenceSubscribe{UserIDs: []schemas.UserID{ids[0], "one too many"}, Add: true})
	if e := alice.wantError(schemas.CodeInvalidArgument); !strings.HasPrefix(e.Message, "user_ids: ") {
		t.Errorf("got %+v", e)
	}
	alice.send(&schemas.PresenceSubscribe{UserIDs: []schemas.UserID{ids[0], ids[0]}, Add: true}) // known, and so none too many
	if got := want[*schemas.Presence](alice); got.UserID != ids[0] {
		t.Errorf("got %+v", got)
	}
	if n := watched(); n != schemas.MaxPresenceUsers {
		t.Errorf("%v are watched", n)
	}
	alice.lookAt("bob")
	if n := watched(); n != 1 {
		t.Errorf("%v are watched, and a list without add replaces the one before", n)
	}
}

// More than one list a second, after a burst of 10, is read later.
func TestPresenceListsAreSlowedDown(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	began := time.Now()
	for range gateway.MaxSubscribes {
		alice.lookAt("bob")
	}
	burst := time.Since(began)
	alice.lookAt("bob")
	if took := time.Since(began); took < 800*time.Millisecond || burst > took/2 {
		t.Errorf("the burst was read in %v, one more in %v", burst, took)
	}
}

// A user of an external issuer exists from the first request on.
func TestExternalUserExistsFromTheFirstRequest(t *testing.T) {
	h, _ := twoHouses(t, func(o *gateway.Options) { o.Auth, o.Accounts = bearers{}, nil })
	alice := h.join("alice 1")
	alice.say("bob", "too early")
	alice.wantError(schemas.CodeUnknownReceiver)
	if status, _ := h.as("bob 1", "GET", "/devices", ""); status != http.StatusOK {
		t.Fatal(status)
	}
	alice.next = 2
	alice.tell("bob", "welcome")
}
