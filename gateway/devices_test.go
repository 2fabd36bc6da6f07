package gateway_test

import (
	"net/http"
	"testing"

	"roost/schemas"
)

// TestDevicesOnTwoGateways: what comes for a person, and what they send from one
// device, reaches their others; a device that is registered later gets what comes
// from then on.
func TestDevicesOnTwoGateways(t *testing.T) {
	h, other := twoHouses(t)
	phone, tablet, bob := h.connect("alice"), other.connect("alice"), other.connect("bob")
	before := bob.tell("alice", "before the laptop")
	if got := want[*schemas.Incoming](phone); got.MessageID != before.MessageID { // and stays unacknowledged
		t.Fatalf("got %+v", got)
	}
	if got := tablet.take(); got.MessageID != before.MessageID {
		t.Fatalf("got %+v", got)
	}
	laptop := other.connect("alice")
	if got := laptop.backlog(); len(got) != 0 {
		t.Errorf("a new device gets %d messages of before", len(got))
	}
	eventually(t, "the gateways know the laptop", func() bool {
		for _, at := range []*house{h, other} {
			if p, err := at.conn.Directory().User(at.ctx(), "alice"); err != nil || len(p.Devices) != 3 {
				return false
			}
		}
		return true
	})
	sent := phone.tell("bob", "from the phone")
	for name, d := range map[string]*device{"tablet": tablet, "laptop": laptop, "bob": bob} {
		if m := d.take(); m.MessageID != sent.MessageID || m.SenderID != "alice" || m.SenderDeviceID != phone.welcome.DeviceID {
			t.Errorf("the %s got %+v", name, m)
		}
	}
	fourth := h.dial()
	fourth.send(&schemas.Hello{Token: h.token("alice"), DeviceName: "fourth"})
	fourth.wantError(schemas.CodeDeviceLimit)
	if status, _ := other.call("alice", "DELETE", "/devices/"+string(phone.welcome.DeviceID), ""); status != http.StatusOK {
		t.Fatal(status)
	}
	phone.wantClose(schemas.CloseDeviceRemoved)
	fourth.hello(&schemas.Hello{Token: h.token("alice"), DeviceName: "in its place"}) // on the same connection
	if _, answer := other.call("alice", "GET", "/devices", ""); len(data[[]schemas.DeviceInfo](t, answer)) != 3 {
		t.Errorf("the devices are %s", answer.Data)
	}
}

// TestHelloThatIsRefusedRegistersNothing: the hello may be corrected, and each try would
// else take the place of one more device.
func TestHelloThatIsRefusedRegistersNothing(t *testing.T) {
	h := newHouse(t)
	d := h.dial()
	for range 4 {
		d.send(&schemas.Hello{Token: h.token("alice"), DeviceName: "phone", ResumeAfter: "no cursor"})
		d.wantError(schemas.CodeInvalidArgument)
	}
	d.hello(&schemas.Hello{Token: h.token("alice"), DeviceName: "phone"})
	if list := data[[]schemas.DeviceInfo](t, h.must("alice", "GET", "/devices", "")); len(list) != 1 || list[0].DeviceID != d.welcome.DeviceID {
		t.Errorf("the devices are %+v", list)
	}
	again := h.dial()
	again.send(&schemas.Hello{Token: h.token("alice"), DeviceID: d.welcome.DeviceID, ResumeAfter: "no cursor"})
	again.wantError(schemas.CodeInvalidArgument)
	if online, _, err := h.conn.Presence().Status(h.ctx(), "alice", []schemas.Device{{DeviceID: d.welcome.DeviceID}}); err != nil || !online {
		t.Errorf("a hello that was refused took its device offline, whose connection is still there (%v)", err)
	}
	d.roundTrip()
}
