package gateway_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"roost/gateway"
	"roost/schemas"
	"roost/streams/directory"
)

// named is a gateway at which a token says who it is of and when it was issued.
func named(t *testing.T) *house {
	t.Helper()
	return newHouse(t, func(o *gateway.Options) { o.Auth, o.Accounts, o.Limits = bearers{}, nil, gateway.Limits{} })
}

// succeeded deletes alice's account and returns a token of who takes the name then.
func succeeded(t *testing.T, h *house) string {
	t.Helper()
	at, err := h.conn.DeleteAccount(h.ctx(), "alice", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.conn.FinishErasure(h.ctx(), "alice"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the name is free", func() bool {
		p, err := h.conn.Directory().User(h.ctx(), "alice")
		return err == nil && !p.Deleted
	})
	return "alice " + strconv.FormatInt(int64(at+1), 10)
}

// Who takes a name edits and deletes nothing that was sent under it before, though the
// ids of those messages are of that name.
func TestMessagesOfTheOneBefore(t *testing.T) {
	h := named(t)
	bob := h.join("bob 1")
	id := h.join("alice 1").tell("bob", "of the first").MessageID
	bob.take()
	second := h.join(succeeded(t, h))
	for _, change := range []schemas.UpdateMessage{edit("bob", id, "of the second"),
		{ReceiverID: "bob", TargetMessageID: id, Change: schemas.ChangeDelete}} {
		second.ask(change)
		second.wantError(schemas.CodeForbidden)
	}
	own := second.tell("bob", "of the second").MessageID
	bob.take()
	second.updated(edit("bob", own, "edited"))
	if u := want[*schemas.MessageUpdate](bob); u.TargetMessageID != own {
		t.Errorf("bob is told of %s, not of %s", u.TargetMessageID, own)
	}
}

// Nor do they hear that those messages are delivered and read now, in a chat of two or in a
// group that they were added to.
func TestReceiptsInGroupsOfTheOneBefore(t *testing.T) {
	h := named(t)
	bob, first := h.join("bob 1"), h.join("alice 1")
	_, answer := h.as("bob 1", "POST", "/groups", `{"group_name":"friends","members":["alice"]}`)
	group := data[schemas.GroupInfo](t, answer).GroupID
	alone := first.tell("bob", "of the first").MessageID
	together := first.tellGroup(group, "of the first").MessageID
	for range 2 {
		want[*schemas.Incoming](bob)
	}
	second := h.join(succeeded(t, h))
	if status, answer := h.as("bob 1", "POST", "/groups/"+string(group)+"/members", `{"user_id":"alice"}`); status != 200 {
		t.Fatal(status, answer.Error)
	}
	reads := func(ids ...schemas.MessageID) {
		bob.send(&schemas.Read{MessageID: ids[0], SenderID: "alice"})
		bob.send(&schemas.Read{MessageID: ids[1], SenderID: "alice", GroupID: group})
		bob.ack(ids[0])
		bob.ack(ids[1])
	}
	reads(alone, together)
	own := second.tell("bob", "of the second").MessageID
	also := second.tellGroup(group, "of the second").MessageID
	for range 2 {
		want[*schemas.Incoming](bob)
	}
	reads(own, also)
	bob.roundTrip()
	told := make(map[string]int)
	for len(second.seen) > 0 || len(told) < 4 {
		var f schemas.ServerFrame
		if len(second.seen) > 0 {
			f, second.seen = second.seen[0], second.seen[1:]
		} else if got, err := second.read(); err == nil {
			f = got
		} else {
			t.Fatalf("%v, and so far she was told %v", err, told)
		}
		switch f := f.(type) {
		case *schemas.Delivered:
			told["delivered "+string(f.MessageID)]++
		case *schemas.ReadBy:
			told["read "+string(f.MessageID)]++
		}
	}
	for _, id := range []schemas.MessageID{own, also} {
		if told["delivered "+string(id)] != 1 || told["read "+string(id)] != 1 {
			t.Errorf("she was told %v, and not once each of her own %s and %s", told, own, also)
		}
	}
}

// Nor does a token of before delete the account of who has the name now.
func TestDeletionByTheOneBefore(t *testing.T) {
	h := named(t)
	h.join("alice 1").leave()
	token := succeeded(t, h)
	h.join(token).leave()
	at := h.account("alice").TokensAfter
	for _, issued := range []schemas.Timestamp{0, at - 1, at} {
		if status, _ := h.as(fmt.Sprint("alice ", issued), "DELETE", "/account", ""); status != http.StatusUnauthorized {
			t.Errorf("a token issued at %d, %d before the deletion, got %d", issued, at-issued, status)
		}
	}
	if !h.account("alice").Exists {
		t.Error("she was deleted")
	}
	if status, answer := h.as(token, "DELETE", "/account", ""); status != http.StatusOK {
		t.Errorf("her own token: %d %+v", status, answer.Error)
	}
}

// account is a person as stored.
func (h *house) account(u schemas.UserID) *directory.User {
	h.t.Helper()
	p, err := h.conn.Directory().Fresh(h.ctx(), u)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}
