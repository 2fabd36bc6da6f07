package gateway_test

import (
	"testing"
	"time"

	"github.com/coder/websocket"

	"roost/gateway"
	"roost/schemas"
	"roost/streams"
	"roost/streams/directory"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

const month = 30 * 24 * time.Hour

// forgetUse has a device look as if nobody had used it for two months.
func forgetUse(t *testing.T, h *house, a subject.Address) {
	t.Helper()
	long := schemas.TimestampOf(time.Now().Add(-2 * month))
	found, err := h.conn.Directory().ChangeDevice(h.ctx(), a, func(d *schemas.Device) { d.CreatedAt, d.LastActive = long, long })
	if err != nil || !found {
		t.Fatalf("%t, %v", found, err)
	}
}

func deactivate(h *house, a subject.Address) (bool, error) {
	return h.conn.Deactivate(h.ctx(), a, schemas.TimestampOf(time.Now().Add(-month)))
}

// TestDeactivatedComesBack: it is told so, and can register anew.
func TestDeactivatedComesBack(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h, other := joinHouse(t, nats), joinHouse(t, nats)
	phone := h.connect("alice")
	a := addr("alice", phone)
	forgetUse(t, h, a)
	if gone, err := deactivate(other, a); err != nil || gone {
		t.Fatalf("connected and removed: %t, %v", gone, err)
	}
	goAway(t, h, "alice", phone)
	if gone, err := deactivate(other, a); err != nil || !gone {
		t.Fatalf("nobody uses it, and removed: %t, %v", gone, err)
	}
	for _, at := range []*house{h, other} {
		d := at.dial()
		d.send(&schemas.Hello{Token: at.token("alice"), DeviceID: a.Device})
		d.wantError(schemas.CodeDeviceRemoved)
		d.wantClose(schemas.CloseDeviceRemoved)
	}
	bob := h.connect("bob")
	bob.tell("alice", "waits for her next device")
	if again := other.connect("alice"); len(again.backlog()) != 1 || again.welcome.DeviceID == a.Device {
		t.Error("a device that is registered anew does not get what came meanwhile")
	}
}

// TestRemovedElsewhere: a connection hears that its device is gone from the record
// itself, where the word of the other gateway is lost.
func TestRemovedElsewhere(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h, other := joinHouse(t, nats), joinHouse(t, nats)
	phone, tablet := h.connect("alice"), h.connect("alice")
	if found, err := other.conn.Directory().Remove(h.ctx(), addr("alice", phone), directory.Removal{}); err != nil || !found {
		t.Fatalf("%t, %v", found, err)
	}
	phone.wantClose(schemas.CloseDeviceRemoved)
	tablet.roundTrip()
}

// TestSendOfARemovedDevice: what it sends before it hears of its end is refused.
func TestSendOfARemovedDevice(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h, other := joinHouse(t, nats), joinHouse(t, nats)
	bob := h.connect("bob")
	for range 20 {
		phone := h.connect("alice")
		if found, err := other.conn.Directory().Remove(h.ctx(), addr("alice", phone), directory.Removal{}); err != nil || !found {
			t.Fatalf("%t, %v", found, err)
		}
		eventually(t, "the gateway knows", func() bool {
			p, err := h.conn.Directory().User(h.ctx(), "alice")
			return err == nil && p.Revoked(phone.welcome.DeviceID)
		})
		_ = phone.ws.Write(h.ctx(), websocket.MessageText, schemas.EncodeFrame(message("bob", "too late", 1)))
		phone.wantClose(schemas.CloseDeviceRemoved)
	}
	h.connect("carol").tell("bob", "the only one")
	if m := bob.take(); m.Content != "the only one" {
		t.Errorf("a removed device sent %q", m.Content)
	}
}

// TestSendOfARemovedDeviceThatHeardNothing: where the word of the removal and the change
// of the record were missed, the device's next send ends its connection, whomever it is to.
func TestSendOfARemovedDeviceThatHeardNothing(t *testing.T) {
	for _, to := range []string{"a person", "a group"} {
		t.Run(to, func(t *testing.T) {
			nats := streamstest.Server(t, t.TempDir())
			conn := streamstest.Connect(t, nats, streams.Topology{})
			deaf := make(chan struct{}) // closed where the gateway may hear of changes
			conn.Directory().OnDevices(func(u schemas.UserID, record schemas.Devices) {
				if len(record.Removed) > 0 {
					<-deaf
				}
			})
			h, other := moveIn(t, nats, conn), joinHouse(t, nats)
			defer close(deaf)
			bob, phone := other.connect("bob"), h.connect("alice")
			id := other.makeGroup("bob", "alice")
			if found, err := other.conn.Directory().Remove(h.ctx(), addr("alice", phone), directory.Removal{}); err != nil || !found {
				t.Fatalf("%t, %v", found, err)
			}
			eventually(t, "the gateway knows the person as they are", func() bool {
				p, err := h.conn.Directory().User(h.ctx(), "alice")
				return err == nil && p.Revoked(phone.welcome.DeviceID)
			})
			if to == "a group" {
				phone.shout(id, "too late")
			} else {
				phone.say("bob", "too late")
			}
			phone.wantClose(schemas.CloseDeviceRemoved)
			other.connect("carol").tell("bob", "the only one")
			if m := bob.take(); m.Content != "the only one" {
				t.Errorf("a removed device sent %q", m.Content)
			}
		})
	}
}

// TestBackWhileDeactivated: a device connects at one gateway while another process
// deactivates it. Either it stays and is served, or it is told; never a connection
// of a device that is gone.
func TestBackWhileDeactivated(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	h, other := joinHouse(t, nats), joinHouse(t, nats)
	bob := other.connect("bob")
	stayed := 0
	for range 30 {
		first := h.connect("alice")
		a := addr("alice", first)
		goAway(t, h, "alice", first)
		forgetUse(t, h, a)
		type result struct {
			gone bool
			err  error
		}
		done := make(chan result, 1)
		back := h.dial()
		go func() {
			gone, err := deactivate(other, a)
			done <- result{gone, err}
		}()
		back.send(&schemas.Hello{Token: h.token("alice"), DeviceID: a.Device})
		r := streamstest.Receive(t, done)
		if r.err != nil {
			t.Fatal(r.err)
		}
		if r.gone {
			back.wantClose(schemas.CloseDeviceRemoved)
			continue
		}
		stayed++
		back.welcome = want[*schemas.Welcome](back)
		bob.tell("alice", "are you there?")
		back.take()
		back.roundTrip()
		if status, _ := h.call("alice", "DELETE", "/devices/"+string(a.Device), ""); status != 200 {
			t.Fatal(status)
		}
		back.wantClose(schemas.CloseDeviceRemoved)
	}
	t.Logf("it stayed %d times of 30", stayed)
}

// TestConnectedForWeeks: a connection keeps its device in use without another
// hello, on the record that decides.
func TestConnectedForWeeks(t *testing.T) {
	h := newHouse(t)
	alice := h.connect("alice")
	lastActive := func() schemas.Timestamp {
		p, err := h.conn.Directory().Fresh(h.ctx(), "alice")
		if err != nil || len(p.Devices) != 1 {
			t.Fatal(p, err)
		}
		return p.Devices[0].LastActive
	}
	began := lastActive()
	for _, at := range []struct{ now, want time.Duration }{
		{0, 0}, {23 * time.Hour, 0}, {25 * time.Hour, 25 * time.Hour}, {48 * time.Hour, 25 * time.Hour}, {50 * time.Hour, 50 * time.Hour},
	} {
		h.server.NoteActive(h.ctx(), schemas.TimestampOf(began.Time().Add(at.now)))
		if got := lastActive().Time().Sub(began.Time()); got != at.want {
			t.Errorf("after %s it was active last after %s, not %s", at.now, got, at.want)
		}
	}
	alice.roundTrip()
}

// TestLateDeletionOfAnEarlierAccount: the deletion of an account does not end the
// connections of its name's next owner, though a gateway hears of it after they joined.
func TestLateDeletionOfAnEarlierAccount(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	conn := streamstest.Connect(t, nats, streams.Topology{})
	late := make(chan struct{}) // closed when the gateway may hear of the deletion
	heard := make(chan struct{})
	conn.Directory().OnDevices(func(_ schemas.UserID, record schemas.Devices) {
		if record.Deleted() {
			<-late
		}
	})
	change := func(o *gateway.Options) { o.Auth, o.Accounts, o.Limits = bearers{}, nil, gateway.Limits{} }
	h, other := moveIn(t, nats, conn, change), joinHouse(t, nats, change)
	conn.Directory().OnDevices(func(_ schemas.UserID, record schemas.Devices) {
		if record.Deleted() && record.Erased {
			close(heard)
		}
	})
	first := h.join("alice 1")
	second := h.join(succeeded(t, other))
	close(late)
	select {
	case <-heard:
	case <-h.ctx().Done():
		t.Fatal("the gateway does not hear of the deletion")
	}
	first.wantClose(schemas.CloseDeviceRemoved)
	second.roundTrip()
}
