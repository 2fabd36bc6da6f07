package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"roost/schemas"
)

// Admins rename, switch history, add members and remove them.
func TestWhatAdminsMay(t *testing.T) {
	h := newHouse(t)
	id := h.makeGroup("alice", "bob", "carol")
	path := "/groups/" + string(id)
	h.must("alice", "PATCH", path+"/members/bob", `{"role":"admin"}`)
	alice := h.connect("alice")
	for range 2 {
		want[*schemas.GroupUpdate](alice) // of before
	}
	h.must("bob", "PATCH", path, `{"group_name":"pals"}`)
	h.must("bob", "PATCH", path, `{"history_storage":90}`)
	h.add("bob", id, "dave")
	h.remove("bob", id, "carol")
	h.must("bob", "PATCH", path, `{"history_storage":0}`)
	for _, w := range []schemas.GroupUpdate{
		{GroupChange: schemas.GroupChange{Change: schemas.GroupRenamed}},
		{GroupChange: schemas.GroupChange{Change: schemas.GroupHistory, HistoryStorage: 90}},
		{GroupChange: schemas.GroupChange{Change: schemas.GroupAdded, UserID: "dave", Role: schemas.RoleMember, HistoryStorage: 90}},
		{GroupChange: schemas.GroupChange{Change: schemas.GroupRemoved, UserID: "carol", HistoryStorage: 90}},
		{GroupChange: schemas.GroupChange{Change: schemas.GroupHistory}},
	} {
		got := want[*schemas.GroupUpdate](alice)
		w.GroupID, w.ByUserID, w.GroupName = id, "bob", "pals"
		w.MessageID, w.Timestamp, w.Cursor = got.MessageID, got.Timestamp, got.Cursor
		if *got != w {
			t.Errorf("got %+v, want %+v", *got, w)
		}
	}
	if got, want := h.group("dave", id), "pals: alice owner, bob admin, dave member"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A body may have 16 KiB, and that of a new group 512.
func TestBodiesAreBounded(t *testing.T) {
	h := newHouse(t)
	long := func(n int) string { return `{"name":"x","group_name":"x","note":"` + strings.Repeat("x", n) + `"}` }
	for _, c := range []struct {
		path   string
		bytes  int
		status int
	}{
		{"/devices", 15 << 10, http.StatusCreated},
		{"/devices", 17 << 10, http.StatusBadRequest},
		{"/groups", 500 << 10, http.StatusCreated},
		{"/groups", 513 << 10, http.StatusBadRequest},
	} {
		status, answer := h.call("alice", "POST", c.path, long(c.bytes))
		if status != c.status || status == http.StatusBadRequest && answer.Error.Code != schemas.CodeBadFrame {
			t.Errorf("%d bytes at %s: %d %+v", c.bytes, c.path, status, answer.Error)
		}
	}
}
