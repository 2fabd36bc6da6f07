package gateway_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"roost/schemas"
)

// Every id that a user may have can be named in each path, and one that nobody can have is
// invalid_argument in each.
func TestUserIDsInPaths(t *testing.T) {
	h := newHouse(t)
	group := string(h.makeGroup("alice"))
	paths := []string{"GET /user/{}/status", "GET /chats/{}", "PUT /blocks/{}", "DELETE /blocks/{}", "PATCH /groups/" + group + "/members/{}",
		"DELETE /groups/" + group + "/members/{}", "GET /history/{}"}
	ask := func(route, escaped string) (int, schemas.Answer) {
		method, path, _ := strings.Cut(route, " ")
		body := ""
		if method == "PATCH" {
			body = `{"role":"admin"}`
		}
		return h.call("alice", method, strings.Replace(path, "{}", escaped, 1), body)
	}
	for _, id := range []string{"...", ".a", "a..", "//", "a/../b", "../../x", "%2E", "?", "#", " ", "+", "王"} {
		h.token(schemas.UserID(id))
		h.add("alice", schemas.GroupID(group), schemas.UserID(id))
		for _, route := range paths[:len(paths)-1] { // no worker answers the last one
			if status, answer := ask(route, url.PathEscape(id)); status != http.StatusOK {
				t.Errorf("%s of %q: %d %+v", route, id, status, answer.Error)
			}
		}
	}
	for _, id := range []string{"%2E", "%2e%2E", "g-x", "%00", strings.Repeat("x", 129)} {
		for _, route := range paths {
			if status, answer := ask(route, id); status != http.StatusBadRequest || answer.Error.Code != schemas.CodeInvalidArgument {
				t.Errorf("%s of %q: %d %+v", route, id, status, answer.Error)
			}
		}
	}
	token, err := h.tokens.Issue("..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.tokens.Authenticate(h.ctx(), token.Token); err == nil {
		t.Error("a token of .. is good")
	}
}
