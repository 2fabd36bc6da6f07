package gateway_test

import (
	"testing"

	"roost/schemas"
)

// Receipts and typing of a group, its members at two gateways: live to the sender
// alone, as counts, and to who was away.
func TestGroupReceipts(t *testing.T) {
	h, other := pairOfHouses(t)
	alice, bob, carol := h.connect("alice"), other.connect("bob"), h.connect("carol")
	tablet := h.connect("alice").welcome.DeviceID
	goAway(t, h, "alice", &device{ws: h.ws[len(h.ws)-1], welcome: &schemas.Welcome{DeviceID: tablet}})
	id := h.makeGroup("alice", "bob", "carol")
	alice.shout(id, "hello")
	m := want[*schemas.MessageReceived](alice).MessageID
	bob.take()
	if got, w := want[*schemas.Delivered](alice), (schemas.Delivered{MessageID: m, UserID: "bob", GroupID: id}); got.MessageID != w.MessageID || got.UserID != w.UserID || got.GroupID != w.GroupID {
		t.Errorf("got %+v, want %+v", got, w)
	}
	bob.send(&schemas.Read{MessageID: m, SenderID: "alice", GroupID: id})
	if got := want[*schemas.ReadBy](alice); got.MessageID != m || got.UserID != "bob" || got.GroupID != id {
		t.Errorf("got %+v", got)
	}
	counts := func() schemas.GroupReceipts {
		return data[schemas.GroupReceipts](t, h.must("alice", "GET", "/groups/"+string(id)+"/receipts?message_id="+string(m), ""))
	}
	eventually(t, "bob's watermark", func() bool { c := counts(); return c.Members == 2 && c.Delivered == 1 && c.Read == 1 })
	h.connect("alice") // a third device: what alice chose is not cached any more
	late := h.reconnect("alice", tablet, "")
	if got := want[*schemas.Receipts](late).Items; len(got) != 1 || got[0] != (schemas.ReceiptItem{Chat: string(id), UserID: "bob", DeliveredUpTo: m, ReadUpTo: m}) {
		t.Errorf("who was away is shown %+v", got)
	}
	h.changeSettings("bob", `{"read_receipts":false}`)
	eventually(t, "bob's reads are hidden", func() bool { c := counts(); return c.Read == 0 && c.Items[0].ReadUpTo == "" })

	bob.send(&schemas.TypingNotice{GroupID: id})
	for _, d := range []*device{alice, carol} {
		if got := want[*schemas.Typing](d); got.UserID != "bob" || got.GroupID != id {
			t.Errorf("got %+v", got)
		}
	}
	stranger := other.connect("dave")
	for _, f := range []schemas.ClientFrame{&schemas.TypingNotice{GroupID: id}, &schemas.Read{MessageID: m, GroupID: id}} {
		stranger.send(f)
		stranger.wantError(schemas.CodeNotAMember)
	}
	if status, _ := h.call("dave", "GET", "/groups/"+string(id)+"/receipts?message_id="+string(m), ""); status != 403 {
		t.Errorf("a stranger's counts: %d", status)
	}
	if status, _ := h.call("alice", "GET", "/groups/"+string(id)+"/receipts", ""); status != 400 {
		t.Errorf("counts of no message: %d", status)
	}
}
