package gateway_test

import (
	"net/http"
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

// More than one list a second, after a burst of 5, is read later.
func TestPresenceListsAreSlowedDown(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	began := time.Now()
	for range 5 {
		alice.lookAt("bob")
	}
	burst := time.Since(began)
	alice.lookAt("bob")
	if took := time.Since(began); took < 800*time.Millisecond || burst > took/2 {
		t.Errorf("five lists were read in %v, six in %v", burst, took)
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
