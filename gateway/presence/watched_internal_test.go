package presence

import (
	"fmt"
	"testing"
	"time"

	"roost/schemas"
	"roost/streams/directory"
)

// Whatever order a device's sessions are heard of in, and how often, the newest
// counts, and its end more than its begin.
func TestSessionsMerge(t *testing.T) {
	const phone = schemas.DeviceID("phone")
	start := time.UnixMilli(1_700_000_000_000)
	at := func(s int) schemas.Timestamp { return schemas.TimestampOf(start.Add(time.Duration(s) * time.Second)) }
	begin := func(id schemas.SessionID, gateway string) schemas.Session {
		return schemas.Session{SessionID: id, Gateway: gateway, ConnectedAt: at(0)}
	}
	end := func(id schemas.SessionID, s int) schemas.Session {
		return schemas.Session{SessionID: id, ConnectedAt: at(0), EndedAt: at(s)}
	}
	const grace = 10 * time.Second
	for name, c := range map[string]struct {
		heard  []schemas.Session
		dead   string
		online []int // the seconds at which the person is online, of 0, 10, 12 and 60
	}{
		"nothing":                         {nil, "", nil},
		"begun":                           {[]schemas.Session{begin("1", "a")}, "", []int{0, 10, 12, 60}},
		"begun at a gateway that died":    {[]schemas.Session{begin("1", "a")}, "a", nil},
		"ended":                           {[]schemas.Session{begin("1", "a"), end("1", 1)}, "", []int{0, 10}},
		"ended, as read":                  {[]schemas.Session{end("1", -5)}, "", []int{0}},
		"ended long ago, as read":         {[]schemas.Session{end("1", -60)}, "", nil},
		"the begin comes late":            {[]schemas.Session{end("1", -5), begin("1", "a")}, "", []int{0}},
		"moved, the end first":            {[]schemas.Session{begin("1", "a"), end("1", 1), begin("2", "b")}, "a", []int{0, 10, 12, 60}},
		"moved, the begin first":          {[]schemas.Session{begin("1", "a"), begin("2", "b"), end("1", 1)}, "a", []int{0, 10, 12, 60}},
		"moved, an old record is read":    {[]schemas.Session{begin("2", "b"), begin("1", "a")}, "a", []int{0, 10, 12, 60}},
		"moved, and that gateway died":    {[]schemas.Session{begin("1", "a"), begin("2", "b")}, "b", nil},
		"heard twice":                     {[]schemas.Session{begin("1", "a"), end("1", 1), begin("1", "a"), end("1", 1)}, "", []int{0, 10}},
		"ended by a clock that is ahead":  {[]schemas.Session{end("1", 3600)}, "", []int{0}},
		"ended by a clock that is behind": {[]schemas.Session{begin("1", "a"), end("1", -3600)}, "", []int{0, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			w := watched{sessions: make(map[schemas.DeviceID]schemas.Session),
				person: &directory.User{Registration: directory.Registration{Exists: true, Devices: []schemas.Device{{DeviceID: phone}}}}}
			for i, s := range c.heard {
				w.merge(phone, s, start.Add(time.Duration(i)*time.Second), grace)
			}
			var online []int
			for _, s := range []int{0, 10, 12, 60} {
				if is, _ := w.state(start.Add(time.Duration(s)*time.Second), func(g string) bool { return g != c.dead }); is {
					online = append(online, s)
				}
			}
			if fmt.Sprint(online) != fmt.Sprint(c.online) {
				t.Errorf("online at %v, want %v", online, c.online)
			}
		})
	}
}

// Sessions of devices that are not the person's take a bounded place, and none in
// what is shown.
func TestSessionsOfUnknownDevices(t *testing.T) {
	w := watched{sessions: make(map[schemas.DeviceID]schemas.Session),
		person: &directory.User{Registration: directory.Registration{Exists: true, Devices: []schemas.Device{{DeviceID: "phone"}}}}}
	now := time.Now()
	for i := range 3 * maxSessions {
		w.merge(schemas.DeviceID(fmt.Sprint(i)), schemas.Session{SessionID: "1", Gateway: "a"}, now, 0)
	}
	w.merge("phone", schemas.Session{SessionID: "1", EndedAt: 7}, now, 0)
	if online, last := w.state(now, func(string) bool { return true }); online || last != 7 {
		t.Errorf("online %t, last at %d", online, last)
	}
	if n := len(w.sessions); n > maxSessions+1 {
		t.Errorf("%d sessions", n)
	}
}

// A gateway that died and came back between two looks, or the reverse, counts as changed:
// its users are read again.
func TestGatewayThatFlaps(t *testing.T) {
	p := newWatcher(Options{Grace: time.Hour}, func(string) bool { return false })
	bob := &watched{user: "bob", sessions: map[schemas.DeviceID]schemas.Session{"phone": {SessionID: "1", Gateway: "g"}}}
	alice := &watched{user: "alice", sessions: map[schemas.DeviceID]schemas.Session{"phone": {SessionID: "2", Gateway: "h"}}}
	p.users["bob"], p.users["alice"] = bob, alice
	p.gateways["g"], p.gateways["h"] = false, false // dead at the last look
	if due := p.due(time.Now(), false); len(due) != 0 {
		t.Errorf("%d users are due without a change", len(due))
	}
	p.gateways["g"], p.gateways["h"] = false, false
	p.Lease("g") // alive since then, and dead again
	if due := p.due(time.Now(), false); len(due) != 1 || due[0] != bob {
		t.Errorf("%d users are due", len(due))
	}
}
