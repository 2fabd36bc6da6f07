package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"roost/gateway"
	"roost/schemas"
	"roost/streams/streamstest"
)

// pairOfHouses are two gateways on one server.
func pairOfHouses(t *testing.T, change ...func(*gateway.Options)) (a, b *house) {
	t.Helper()
	nats := streamstest.Server(t, t.TempDir())
	return joinHouse(t, nats, change...), joinHouse(t, nats, change...)
}

// makeGroup makes a group of people who exist from then on.
func (h *house) makeGroup(owner schemas.UserID, members ...schemas.UserID) schemas.GroupID {
	h.t.Helper()
	for _, u := range members {
		h.token(u)
	}
	body := schemas.Encode(schemas.NewGroup{GroupName: "friends", Members: members})
	status, answer := h.call(owner, "POST", "/groups", string(body))
	if status != http.StatusCreated {
		h.t.Fatalf("making a group got %d %+v", status, answer.Error)
	}
	return data[schemas.GroupInfo](h.t, answer).GroupID
}

// must is call for what has to work.
func (h *house) must(as schemas.UserID, method, path, body string) schemas.Answer {
	h.t.Helper()
	status, answer := h.call(as, method, path, body)
	if status != http.StatusOK {
		h.t.Fatalf("%s %s %s got %d %+v", as, method, path, status, answer.Error)
	}
	return answer
}

func (h *house) add(as schemas.UserID, id schemas.GroupID, u schemas.UserID) {
	h.t.Helper()
	h.token(u)
	h.must(as, "POST", "/groups/"+string(id)+"/members", `{"user_id":"`+string(u)+`"}`)
}

func (h *house) remove(as schemas.UserID, id schemas.GroupID, u schemas.UserID) {
	h.t.Helper()
	h.must(as, "DELETE", "/groups/"+string(id)+"/members/"+string(u), "")
}

// group is a group as a member sees it, in short: "name: alice owner, bob member".
func (h *house) group(as schemas.UserID, id schemas.GroupID) string {
	h.t.Helper()
	info := data[schemas.GroupInfo](h.t, h.must(as, "GET", "/groups/"+string(id), ""))
	if info.GroupID != id || info.CreatedAt == 0 {
		h.t.Errorf("the group is %+v", info)
	}
	var members []string
	for _, m := range info.Members {
		members = append(members, string(m.UserID)+" "+string(m.Role))
	}
	return info.GroupName + ": " + strings.Join(members, ", ")
}

// shout sends a message to a group and returns without waiting for the answer.
func (d *device) shout(to schemas.GroupID, content string) schemas.ClientMessageID {
	d.t.Helper()
	n := d.next
	d.next++
	d.send(&schemas.SendMessage{GroupID: to, Content: content, MessageIDByClient: n, Timestamp: schemas.Now()})
	return n
}

// acceptedAtLast reads until a send to a group is accepted. One that a loaded machine did
// not store in time it sends again, with the content of its number, as clients do. It
// returns nil after another refusal or the end of the connection.
func (d *device) acceptedAtLast(to schemas.GroupID, content func(schemas.ClientMessageID) string) *schemas.MessageReceived {
	for {
		f, err := d.read()
		if err != nil {
			return nil
		}
		switch f := f.(type) {
		case *schemas.MessageReceived:
			return f
		case *schemas.ErrorFrame:
			if f.Code != schemas.CodeUnavailable {
				return nil
			}
			n := f.MessageIDByClient
			d.send(&schemas.SendMessage{GroupID: to, Content: content(n), MessageIDByClient: n, Timestamp: schemas.Now()})
		case *schemas.Incoming:
			d.ack(f.MessageID)
		case *schemas.GroupUpdate:
			d.ack(f.MessageID)
		}
	}
}

// tellGroup sends a message to a group and waits until it is accepted.
func (d *device) tellGroup(to schemas.GroupID, content string) *schemas.MessageReceived {
	d.t.Helper()
	return d.accepted(d.shout(to, content))
}

// update reads the next group_update, acknowledges it, and says it in short.
func (d *device) update() string {
	d.t.Helper()
	u := want[*schemas.GroupUpdate](d)
	if u.MessageID == "" || u.Cursor == "" || u.GroupName == "" || u.Timestamp != u.MessageID.Time() {
		d.t.Errorf("an incomplete update: %+v", u)
	}
	d.ack(u.MessageID)
	return strings.TrimSpace(strings.Join([]string{string(u.ByUserID), string(u.Change), string(u.UserID), string(u.Role)}, " "))
}

func (d *device) wantUpdates(updates ...string) {
	d.t.Helper()
	for _, w := range updates {
		if got := d.update(); got != w {
			d.t.Errorf("got the update %q, want %q", got, w)
		}
	}
}

func TestGroupLifeAndUpdates(t *testing.T) {
	h, other := pairOfHouses(t)
	alice, tablet := h.connect("alice"), other.connect("alice")
	bob, carol := other.connect("bob"), h.connect("carol")
	id := h.makeGroup("alice", "bob")
	path := "/groups/" + string(id)
	for _, d := range []*device{alice, tablet, bob} {
		d.wantUpdates("alice created")
	}
	other.must("alice", "PATCH", path, `{"group_name":"pals","history_storage":90}`)
	other.add("alice", id, "carol")
	h.must("alice", "PATCH", path+"/members/carol", `{"role":"admin"}`)
	for _, d := range []*device{alice, tablet, bob} {
		d.wantUpdates("alice renamed", "alice history", "alice added carol member", "alice role carol admin")
	}
	carol.wantUpdates("alice added carol member", "alice role carol admin") // and nothing from before
	if got, want := h.group("bob", id), "pals: alice owner, bob member, carol admin"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	h.must("alice", "PATCH", path, `{"group_name":"pals"}`) // as it is: nobody hears
	other.must("alice", "PATCH", path+"/members/bob", `{"role":"owner"}`)
	h.remove("carol", id, "carol")
	h.remove("bob", id, "bob") // who owns it: alice, an admin, follows
	for _, d := range []*device{alice, tablet} {
		d.wantUpdates("alice role bob owner", "alice role alice admin", "carol left carol", "bob left bob", "bob role alice owner")
	}
	bob.wantUpdates("alice role bob owner", "alice role alice admin", "carol left carol", "bob left bob")
	carol.wantUpdates("alice role bob owner", "alice role alice admin", "carol left carol")
	if got, want := other.group("alice", id), "pals: alice owner"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for who, want := range map[schemas.UserID]int{"alice": 1, "bob": 0, "carol": 0} {
		list := data[[]schemas.GroupSummary](t, h.must(who, "GET", "/groups", ""))
		if len(list) != want {
			t.Errorf("%s is a member of %+v", who, list)
		} else if want == 1 && (list[0].GroupID != id || list[0].Role != schemas.RoleOwner || list[0].MemberCount != 1 || list[0].HistoryStorage != 90) {
			t.Errorf("%s's list is %+v", who, list)
		}
	}
	h.remove("alice", id, "alice") // the last one
	tablet.wantUpdates("alice left alice")
	if status, answer := other.call("alice", "GET", path, ""); status != http.StatusNotFound {
		t.Errorf("a group of nobody got %d %s", status, answer.Data)
	}
	// Acknowledged by message_delivered, an update does not come again.
	tablet.roundTrip()
	goAway(t, other, "alice", tablet)
	again := h.reconnect("alice", tablet.welcome.DeviceID, "")
	again.backlog()
	for _, f := range again.seen {
		if u, ok := f.(*schemas.GroupUpdate); ok {
			t.Errorf("again: %+v", u)
		}
	}
}

func TestGroupMessages(t *testing.T) {
	h, other := pairOfHouses(t)
	alice, tablet, bob := h.connect("alice"), other.connect("alice"), other.connect("bob")
	id := h.makeGroup("alice", "bob", "carol") // who has no device
	n := alice.shout(id, "hello, all")
	accepted := want[*schemas.MessageReceived](alice)
	if accepted.MessageIDByClient != n {
		t.Errorf("got %+v", accepted)
	}
	for name, d := range map[string]*device{"own tablet": tablet, "bob": bob} {
		d.wantUpdates("alice created")
		m := d.take()
		if m.MessageID != accepted.MessageID || m.GroupID != id || m.ReceiverID != "" || m.SenderID != "alice" || m.Content != "hello, all" {
			t.Errorf("%s got %+v", name, m)
		}
	}
	carol := h.connect("carol")
	carol.wantUpdates("alice created")
	if m := carol.take(); m.MessageID != accepted.MessageID {
		t.Errorf("the first device got %+v", m)
	}
	bob.shout(id, "hello, alice")
	for name, d := range map[string]*device{"alice": alice, "tablet": tablet, "carol": carol} {
		if m := d.take(); m.Content != "hello, alice" || m.SenderID != "bob" || m.MessageID < accepted.MessageID {
			t.Errorf("%s got %+v", name, m)
		}
	}
	alice.roundTrip()
	for _, f := range alice.seen {
		if m, ok := f.(*schemas.Incoming); ok && m.SenderID == "alice" {
			t.Errorf("the sending device got its own message %+v", m)
		}
		if r, ok := f.(*schemas.Delivered); ok && (r.GroupID != id || r.MessageID != accepted.MessageID) {
			t.Errorf("a receipt of no message of hers: %+v", r)
		}
	}
}

// TestGroupBadInput: each request that is wrong has its code, and changes nothing.
func TestGroupBadInput(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.MaxGroupMembers = 4 })
	id := h.makeGroup("alice", "bob", "carol", "dave")
	path := "/groups/" + string(id)
	h.must("alice", "PATCH", path+"/members/carol", `{"role":"admin"}`)
	h.must("alice", "PATCH", path+"/members/dave", `{"role":"admin"}`)
	small := h.makeGroup("alice", "carol")
	h.must("alice", "PATCH", "/groups/"+string(small)+"/members/carol", `{"role":"admin"}`)
	for _, u := range []schemas.UserID{"eve", "frank"} {
		h.token(u)
	}
	before, smallBefore := h.group("alice", id), h.group("alice", small)
	const unknown = "/groups/g-01ARZ3NDEKTSV4RRFFQ69G5FAV"
	for _, c := range []struct {
		name   string
		as     schemas.UserID
		method string
		path   string
		body   string
		status int
		code   schemas.Code
	}{
		{"no name", "alice", "POST", "/groups", `{}`, 400, schemas.CodeInvalidArgument},
		{"empty name", "alice", "POST", "/groups", `{"group_name":""}`, 400, schemas.CodeInvalidArgument},
		{"blank name", "alice", "POST", "/groups", `{"group_name":"  "}`, 400, schemas.CodeInvalidArgument},
		{"name too long", "alice", "POST", "/groups", `{"group_name":"` + strings.Repeat("x", 129) + `"}`, 400, schemas.CodeInvalidArgument},
		{"a member twice in the list", "alice", "POST", "/groups", `{"group_name":"x","members":["bob","bob"]}`, 400, schemas.CodeInvalidArgument},
		{"too many members", "alice", "POST", "/groups", `{"group_name":"x","members":["bob","carol","dave","eve"]}`, 409, schemas.CodeGroupFull},
		{"an unknown member", "alice", "POST", "/groups", `{"group_name":"x","members":["bob","nobody"]}`, 404, schemas.CodeUnknownReceiver},
		{"other days of history", "alice", "POST", "/groups", `{"group_name":"x","history_storage":30}`, 400, schemas.CodeInvalidArgument},
		{"not JSON", "alice", "POST", "/groups", `group`, 400, schemas.CodeBadFrame},
		{"no token", "", "GET", "/groups", "", 401, schemas.CodeUnauthenticated},
		{"no group id", "alice", "GET", "/groups/friends", "", 400, schemas.CodeInvalidArgument},
		{"unknown group", "alice", "GET", unknown, "", 404, schemas.CodeNotFound},
		{"rename of an unknown group", "alice", "PATCH", unknown, `{"group_name":"x"}`, 404, schemas.CodeNotFound},
		{"not a member", "eve", "GET", path, "", 403, schemas.CodeNotAMember},
		{"rename by a stranger", "eve", "PATCH", path, `{"group_name":"x"}`, 403, schemas.CodeNotAMember},
		{"add by a stranger", "eve", "POST", path + "/members", `{"user_id":"frank"}`, 403, schemas.CodeNotAMember},
		{"leave by a stranger", "eve", "DELETE", path + "/members/eve", "", 403, schemas.CodeNotAMember},
		{"rename by a member", "bob", "PATCH", path, `{"group_name":"x"}`, 403, schemas.CodeForbidden},
		{"empty new name", "alice", "PATCH", path, `{"group_name":""}`, 400, schemas.CodeInvalidArgument},
		{"history by a member", "bob", "PATCH", path, `{"history_storage":90}`, 403, schemas.CodeForbidden},
		{"add by a member", "bob", "POST", path + "/members", `{"user_id":"eve"}`, 403, schemas.CodeForbidden},
		{"one member too many", "alice", "POST", path + "/members", `{"user_id":"eve"}`, 409, schemas.CodeGroupFull},
		{"a member added twice", "alice", "POST", path + "/members", `{"user_id":"bob"}`, 409, schemas.CodeConflict},
		{"an unknown user", "alice", "POST", path + "/members", `{"user_id":"nobody"}`, 404, schemas.CodeUnknownReceiver},
		{"nobody", "alice", "POST", path + "/members", `{}`, 400, schemas.CodeInvalidArgument},
		{"a second owner", "alice", "POST", path + "/members", `{"user_id":"eve","role":"owner"}`, 400, schemas.CodeInvalidArgument},
		{"an admin by an admin", "carol", "POST", "/groups/" + string(small) + "/members", `{"user_id":"eve","role":"admin"}`, 403, schemas.CodeForbidden},
		{"a role by an admin", "carol", "PATCH", path + "/members/bob", `{"role":"admin"}`, 403, schemas.CodeForbidden},
		{"a role of no member", "alice", "PATCH", path + "/members/eve", `{"role":"admin"}`, 404, schemas.CodeNotFound},
		{"no role", "alice", "PATCH", path + "/members/bob", `{}`, 400, schemas.CodeInvalidArgument},
		{"the owner's own role", "alice", "PATCH", path + "/members/alice", `{"role":"member"}`, 400, schemas.CodeInvalidArgument},
		{"remove by a member", "bob", "DELETE", path + "/members/carol", "", 403, schemas.CodeForbidden},
		{"the owner removed by an admin", "carol", "DELETE", path + "/members/alice", "", 403, schemas.CodeForbidden},
		{"an admin removed by another", "carol", "DELETE", path + "/members/dave", "", 403, schemas.CodeForbidden},
		{"remove no member", "alice", "DELETE", path + "/members/eve", "", 404, schemas.CodeNotFound},
		{"wrong method", "alice", "PUT", path, `{}`, 405, schemas.CodeMethodNotAllow},
	} {
		status, answer := h.call(c.as, c.method, c.path, c.body)
		if status != c.status || answer.Error == nil || answer.Error.Code != c.code {
			t.Errorf("%s got %d %+v, want %d %s", c.name, status, answer.Error, c.status, c.code)
		}
	}
	if after := h.group("alice", id); after != before {
		t.Errorf("the group is %s, and was %s", after, before)
	}
	if after := h.group("alice", small); after != smallBefore {
		t.Errorf("the small group is %s, and was %s", after, smallBefore)
	}
	for who, want := range map[schemas.UserID]int{"alice": 2, "eve": 0} {
		if list := data[[]schemas.GroupSummary](t, h.must(who, "GET", "/groups", "")); len(list) != want {
			t.Errorf("%s is a member of %+v", who, list)
		}
	}
	// Over the WebSocket an unknown group looks like one of others.
	eve := h.connect("eve")
	for _, to := range []schemas.GroupID{id, "g-01ARZ3NDEKTSV4RRFFQ69G5FAV"} {
		n := eve.shout(to, "x")
		if e := eve.wantError(schemas.CodeNotAMember); e.MessageIDByClient != n || e.Message != "group_id: you are not a member of that group." {
			t.Errorf("a message to %s got %+v", to, e)
		}
	}
	if _, ok, err := h.conn.SendLog().Last(h.ctx(), addr("eve", eve)); ok || err != nil {
		t.Errorf("the send is on record (%v)", err)
	}
	bob := h.connect("bob")
	bob.backlog()
	for _, f := range bob.seen {
		if m, ok := f.(*schemas.Incoming); ok {
			t.Errorf("bob got %+v", m)
		}
	}
}

func TestGroupOfManyIsMadeAtOnce(t *testing.T) {
	h := newHouse(t)
	var members []schemas.UserID
	for i := range schemas.DefaultGroupMembers - 1 {
		members = append(members, schemas.UserID(fmt.Sprintf("member-with-a-long-name-%04d", i)))
	}
	for chunk := range slices.Chunk(members, 64) {
		if err := exist(h, chunk); err != nil {
			t.Fatal(err)
		}
	}
	id := h.makeGroup("alice", members...)
	info := data[schemas.GroupInfo](t, h.must(members[0], "GET", "/groups/"+string(id), ""))
	if len(info.Members) != schemas.DefaultGroupMembers {
		t.Errorf("%d members", len(info.Members))
	}
	h.token("bob")
	if status, answer := h.call("alice", "POST", "/groups/"+string(id)+"/members", `{"user_id":"bob"}`); status != http.StatusConflict || answer.Error.Code != schemas.CodeGroupFull {
		t.Errorf("the 1,025th member got %d %+v", status, answer.Error)
	}
	body, err := json.Marshal(schemas.NewGroup{GroupName: "x", Members: append(members, "bob")})
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := h.call("alice", "POST", "/groups", string(body)); status != http.StatusConflict || answer.Error.Code != schemas.CodeGroupFull {
		t.Errorf("a group of 1,025 got %d %+v", status, answer.Error)
	}
}

// A change that a gateway wrote and did not live to tell is told once somebody looks at
// the group, as one does after a 503.
func TestWhoLooksFinishesAChange(t *testing.T) {
	h := newHouse(t)
	bob := h.connect("bob")
	id := h.makeGroup("alice", "bob")
	bob.wantUpdates("alice created")
	kv, err := streamstest.JetStream(t, h.nats).KeyValue(h.ctx(), "GROUPS")
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(h.ctx(), string(id))
	if err != nil {
		t.Fatal(err)
	}
	g, err := schemas.Decode[schemas.Group](e.Value())
	if err != nil {
		t.Fatal(err)
	}
	g.GroupName, g.Changed = "pals", h.conn.Clock().Next()
	g.Pending = &schemas.PendingChange{Updates: []schemas.GroupChange{{MessageID: g.Changed, GroupID: id,
		Change: schemas.GroupRenamed, ByUserID: "alice", GroupName: "pals", Timestamp: g.Changed.Time()}}}
	if _, err := kv.Put(h.ctx(), string(id), schemas.Encode(g)); err != nil {
		t.Fatal(err)
	}
	if got, want := h.group("alice", id), "pals: alice owner, bob member"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := want[*schemas.GroupUpdate](bob); got.GroupName != "pals" {
		t.Errorf("bob is told %+v", got)
	}
	bob.roundTrip()
	if more := seen[*schemas.GroupUpdate](bob); len(more) > 0 {
		t.Errorf("bob is told again: %+v", more)
	}
}
