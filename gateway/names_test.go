package gateway_test

import (
	"net/http"
	"testing"

	"roost/schemas"
)

// A name that nobody can see, or that breaks a list of names, is refused wherever one is
// given.
func TestNamesAreVisible(t *testing.T) {
	h := newHouse(t)
	group := string(h.makeGroup("alice"))
	for _, name := range []string{`\u200b`, `\u3164`, `a\nb`, `\u202eabc`} {
		for _, c := range []struct{ method, path, body, field string }{
			{"POST", "/devices", `{"name":"` + name + `"}`, "name"},
			{"POST", "/groups", `{"group_name":"` + name + `"}`, "group_name"},
			{"PATCH", "/groups/" + group, `{"group_name":"` + name + `"}`, "group_name"},
		} {
			status, answer := h.call("alice", c.method, c.path, c.body)
			if status != http.StatusBadRequest || answer.Error.Code != schemas.CodeInvalidArgument || answer.Error.Message[:len(c.field)] != c.field {
				t.Errorf("%s %s %s: %d %+v", c.method, c.path, c.body, status, answer.Error)
			}
		}
	}
}
