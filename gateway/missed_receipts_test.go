package gateway_test

import (
	"fmt"
	"net/http"
	"testing"

	"roost/schemas"
)

// readOnOther are the read marks of this user in the receipts that a device was shown.
func readOnOther(d *device, u schemas.UserID) map[string]schemas.MessageID {
	marks := make(map[string]schemas.MessageID)
	for _, r := range seen[*schemas.Receipts](d) {
		for _, i := range r.Items {
			if i.UserID == u && i.DeliveredUpTo == "" {
				marks[i.Chat] = i.ReadUpTo
			}
		}
	}
	return marks
}

// What a user read on one device shows on another one that was away, in chats of two and
// in groups, also where the user tells nobody.
func TestReadOnAnotherDevice(t *testing.T) {
	for _, setting := range []string{"on", "off", "blocked"} {
		t.Run(setting, func(t *testing.T) {
			h := newHouse(t)
			alice, phone, tablet := h.connect("alice"), h.connect("bob"), h.connect("bob")
			group := h.makeGroup("alice", "bob")
			direct := alice.tell("bob", "x").MessageID
			alice.shout(group, "to all")
			toAll := want[*schemas.MessageReceived](alice).MessageID
			switch setting {
			case "off":
				h.changeSettings("bob", `{"read_receipts":false}`)
			case "blocked":
				h.must("bob", "PUT", "/blocks/alice", "")
			}
			goAway(t, h, "bob", tablet)
			phone.send(&schemas.Read{MessageID: direct, SenderID: "alice"})
			phone.send(&schemas.Read{MessageID: toAll, SenderID: "alice", GroupID: group})
			phone.roundTrip()
			goAway(t, h, "bob", phone)

			tablet = h.reconnect("bob", tablet.welcome.DeviceID, "")
			want[*schemas.InboxDrained](tablet)
			got := readOnOther(tablet, "bob")
			if len(got) != 2 || got["alice"] != direct || got[string(group)] != toAll {
				t.Errorf("the tablet was shown %v, not %s and %s", got, direct, toAll)
			}
			marks := make(map[string]schemas.MessageID)
			for _, m := range data[schemas.ReadMarks](t, h.must("bob", "GET", "/reads", "")).Items {
				marks[m.Chat] = m.ReadUpTo
			}
			if len(marks) != 2 || marks["alice"] != direct || marks[string(group)] != toAll {
				t.Errorf("GET /reads has %v", marks)
			}
		})
	}
}

// A sender who was away is shown nothing of what was read by somebody who tells nobody,
// not even that something changed.
func TestReadMarksTellNobodyElse(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.connect("alice"), h.connect("bob")
	id := alice.tell("bob", "x").MessageID
	m := bob.take()
	want[*schemas.Delivered](alice)
	h.changeSettings("bob", `{"read_receipts":false}`)
	bob.roundTrip()
	goAway(t, h, "bob", bob) // with the receipt of the delivery
	before := h.watermark("alice", "bob")
	bob = h.reconnect("bob", bob.welcome.DeviceID, "")
	bob.send(&schemas.Read{MessageID: m.MessageID, SenderID: "alice"})
	bob.roundTrip()
	goAway(t, h, "bob", bob)
	if after := h.watermark("alice", "bob"); after != before || after.ReadUpTo != "" {
		t.Errorf("alice is shown %+v, and was shown %+v", after, before)
	}
	if marks := data[schemas.ReadMarks](t, h.must("bob", "GET", "/reads", "")); len(marks.Items) != 1 || marks.Items[0].ReadUpTo != id {
		t.Errorf("bob's own: %+v", marks)
	}
	if marks := data[schemas.ReadMarks](t, h.must("alice", "GET", "/reads", "")); len(marks.Items) != 0 {
		t.Errorf("alice's own: %+v", marks)
	}
}

// GET /reads has what was read a moment ago, and all chats, a page at a time.
func TestGetReads(t *testing.T) {
	h := newHouse(t, slowReads)
	bob := h.connect("bob")
	alice := h.connect("alice")
	first := alice.tell("bob", "x").MessageID
	bob.send(&schemas.Read{MessageID: first, SenderID: "alice"})
	bob.roundTrip()
	if marks := data[schemas.ReadMarks](t, h.must("bob", "GET", "/reads", "")); len(marks.Items) != 1 || marks.Items[0] != (schemas.ReadMark{Chat: "alice", ReadUpTo: first}) {
		t.Errorf("got %+v", marks)
	}
	id := h.conn.Clock().Next()
	const n = schemas.MaxReadMarks
	for i := range n {
		if err := h.conn.Receipts().AdvanceReadMark(h.ctx(), "bob", schemas.Participant{User: schemas.UserID(fmt.Sprint("friend", i))}, id); err != nil {
			t.Fatal(err)
		}
	}
	page := data[schemas.ReadMarks](t, h.must("bob", "GET", "/reads", ""))
	if len(page.Items) != n || page.Next == "" {
		t.Fatalf("%d, %q", len(page.Items), page.Next)
	}
	rest := data[schemas.ReadMarks](t, h.must("bob", "GET", "/reads?after="+page.Next, ""))
	if len(rest.Items) != 1 || rest.Next != "" || rest.Items[0].Chat != fmt.Sprint("friend", n-1) {
		t.Errorf("%+v", rest)
	}
	if status, answer := h.call("bob", "GET", "/reads?after=-1", ""); status != http.StatusBadRequest {
		t.Errorf("%d %+v", status, answer)
	}
}
