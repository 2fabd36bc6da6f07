package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"roost/gateway"
	"roost/schemas"
	"roost/streams/streamstest"
)

// post is call for a POST under an Idempotency-Key; nobody is who asks without a token.
func (h *house) post(as schemas.UserID, path, key, body string) (int, schemas.Answer) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.ctx(), "POST", h.http.URL+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if as != "" {
		req.Header.Set("Authorization", "Bearer "+h.token(as))
	}
	req.Header.Set("Content-Type", schemas.ContentType)
	req.Header.Set("Idempotency-Key", key)
	return h.do(req)
}

// A retry of a POST under its key makes nothing twice, at whichever gateway, and gets the
// first answer; another body is a conflict; another key makes another thing.
func TestPostsAreIdempotent(t *testing.T) {
	nats := streamstest.Server(t, t.TempDir())
	limits := func(o *gateway.Options) { o.Limits = gateway.Limits{} }
	h, other := joinHouse(t, nats, limits), joinHouse(t, nats, limits)
	bob := h.connect("bob")
	group := string(h.makeGroup("alice"))
	for _, c := range []struct {
		path, body, same, changed string
		as                        schemas.UserID
		status                    int
		made                      func() int
	}{
		{"/groups", `{"group_name":"club","members":["bob"]}`, ` {"members":["bob"], "group_name":"club"}`, `{"group_name":"pub","members":["bob"]}`,
			"alice", http.StatusCreated, func() int {
				return len(data[[]schemas.GroupSummary](t, h.must("alice", "GET", "/groups", ""))) - 1
			}},
		{"/devices", `{"name":"phone"}`, `{ "name":"phone"}`, `{"name":"tablet"}`, "alice", http.StatusCreated, func() int {
			return len(data[[]schemas.DeviceInfo](t, h.must("alice", "GET", "/devices", "")))
		}},
		{"/groups/" + group + "/members", `{"user_id":"bob"}`, `{"user_id":"bob","role":"member"}`, `{"user_id":"bob","role":"admin"}`,
			"alice", http.StatusOK, func() int {
				return len(data[schemas.GroupInfo](t, h.must("alice", "GET", "/groups/"+group, "")).Members) - 1
			}},
		{"/accounts", `{"user_id":"carol","password":"correct horse"}`, `{"password":"correct horse","user_id":"carol"}`,
			`{"user_id":"carol","password":"another horse"}`, "", http.StatusCreated, func() int { return 1 }},
	} {
		t.Run(c.path, func(t *testing.T) {
			status, first := h.post(c.as, c.path, "key-1", c.body)
			if status != c.status {
				t.Fatalf("%d %+v", status, first.Error)
			}
			for _, at := range []*house{h, other} {
				if status, again := at.post(c.as, c.path, "key-1", c.same); status != c.status || string(again.Data) != string(first.Data) {
					t.Errorf("again: %d %s %+v, not %s", status, again.Data, again.Error, first.Data)
				}
				if status, answer := at.post(c.as, c.path, "key-1", c.changed); status != http.StatusConflict {
					t.Errorf("another body: %d %s", status, answer.Data)
				}
			}
			if n := c.made(); n != 1 {
				t.Errorf("%d were made", n)
			}
			switch status, another := h.post(c.as, c.path, "key-2", c.body); {
			case c.path == "/groups" || c.path == "/devices":
				if status != c.status || string(another.Data) == string(first.Data) || c.made() != 2 {
					t.Errorf("another key: %d %s %+v", status, another.Data, another.Error)
				}
			case status != http.StatusConflict: // a member already, a name that is taken
				t.Errorf("another key: %d %s", status, another.Data)
			}
		})
	}
	for range 3 { // two groups, and the word that bob is a member of the first one
		want[*schemas.GroupUpdate](bob)
	}
	bob.roundTrip()
	if more := seen[*schemas.GroupUpdate](bob); len(more) > 0 {
		t.Errorf("bob was told of %+v too", more)
	}
}

// A gateway died between the effect and the answer, or before the effect.
func TestPostCutShort(t *testing.T) {
	h := newHouse(t)
	h.token("alice")
	body := schemas.NewGroup{GroupName: "club"}
	request := func(key string) schemas.Request {
		q, known, err := h.conn.Request(h.ctx(), "alice", schemas.NewRequest("POST /groups", key, "/groups", &body))
		if err != nil || known {
			t.Fatal(known, err)
		}
		return q
	}
	made, reserved := request("made"), request("reserved")
	if _, err := h.conn.Groups().Create(h.ctx(), made, "alice", body); err != nil {
		t.Fatal(err)
	}
	for key, q := range map[string]schemas.Request{"made": made, "reserved": reserved} {
		for range 2 {
			status, answer := h.post("alice", "/groups", key, `{"group_name":"club"}`)
			if status != http.StatusCreated || data[schemas.GroupInfo](t, answer).GroupID != q.GroupID() {
				t.Errorf("%s: %d %s %+v, not %s", key, status, answer.Data, answer.Error, q.GroupID())
			}
		}
	}
	if n := len(data[[]schemas.GroupSummary](t, h.must("alice", "GET", "/groups", ""))); n != 2 {
		t.Errorf("%d groups, not 2", n)
	}
}

// A retry does not add somebody again who was removed in between.
func TestMemberIsAddedOnce(t *testing.T) {
	h := newHouse(t)
	h.token("bob")
	group := h.makeGroup("alice")
	path := "/groups/" + string(group) + "/members"
	if status, answer := h.post("alice", path, "key", `{"user_id":"bob"}`); status != http.StatusOK {
		t.Fatal(answer.Error)
	}
	h.remove("alice", group, "bob")
	status, answer := h.post("alice", path, "key", `{"user_id":"bob"}`)
	if status != http.StatusOK || len(data[schemas.GroupInfo](t, answer).Members) != 1 {
		t.Errorf("%d %s %+v", status, answer.Data, answer.Error)
	}
}

// A refused request is not remembered as one that made something.
func TestRefusedPostMayBeRepeated(t *testing.T) {
	h := newHouse(t)
	for range 2 {
		if status, _ := h.post("alice", "/groups", "key", `{"group_name":"club","members":["dora"]}`); status != http.StatusNotFound {
			t.Errorf("got %d", status)
		}
	}
	h.token("dora")
	if status, answer := h.post("alice", "/groups", "key", `{"group_name":"club","members":["dora"]}`); status != http.StatusCreated {
		t.Errorf("got %d %+v", status, answer.Error)
	}
}

func TestIdempotencyKeyRefused(t *testing.T) {
	h := newHouse(t)
	for _, key := range []string{"", "a b", "é", strings.Repeat("x", 129)} {
		status, answer := h.post("alice", "/groups", key, `{"group_name":"club"}`)
		if status != http.StatusBadRequest || !strings.HasPrefix(answer.Error.Message, "Idempotency-Key: ") {
			t.Errorf("%q: %d %+v", key, status, answer.Error)
		}
	}
	if status, answer := h.post("alice", "/groups", strings.Repeat("~", 128), `{"group_name":"club"}`); status != http.StatusCreated {
		t.Errorf("%d %+v", status, answer.Error)
	}
}
