package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"roost/gateway"
	"roost/schemas"
)

// TestBodiesNeedJSON sends to each path of the table, and to one that takes no body, what a form
// of another page can send without a preflight. Each is 415, before the token is looked at.
func TestBodiesNeedJSON(t *testing.T) {
	h := newHouse(t)
	bodies := 0
	for _, row := range protocolTable(t, "## HTTP") {
		method, path, _ := strings.Cut(strings.Trim(strings.SplitN(row[0], ",", 2)[0], "` "), " ")
		path, _, _ = strings.Cut(path, "?")
		if row[1] == "" && method != http.MethodPost {
			if w := h.serve(httptest.NewRequest(method, path, nil)); w.Code == http.StatusUnsupportedMediaType {
				t.Errorf("%s %s without a body got %d", method, path, w.Code)
			}
		} else {
			bodies++
		}
		for _, contentType := range []string{"", "text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded",
			"multipart/form-data; boundary=x", "text/plain; application/json", "application/json, text/plain", "application/jsonx",
			"application/json; charset=latin1", "application/json; charset", "application/merge-patch+json", ";"} {
			w := h.serve(withBody(method, path, contentType, `{"user_id":"mallory","password":"correct horse"}`))
			if w.Code != http.StatusUnsupportedMediaType || w.Header().Get("Accept") != "application/json" ||
				!strings.Contains(w.Body.String(), `"unsupported_media_type"`) {
				t.Errorf("%s %s with %q got %d %s", method, path, contentType, w.Code, w.Body)
			}
		}
		for _, contentType := range []string{"application/json", "Application/JSON; charset=UTF-8", `application/json;charset="utf-8"`} {
			if w := h.serve(withBody(method, path, contentType, `{}`)); w.Code == http.StatusUnsupportedMediaType {
				t.Errorf("%s %s with %q got %d", method, path, contentType, w.Code)
			}
		}
	}
	if bodies < 10 {
		t.Errorf("the table has %d paths with a body", bodies)
	}
	if w := h.serve(withBody("POST", "/nowhere", "text/plain", "x")); w.Code != http.StatusNotFound {
		t.Errorf("a path that does not exist got %d", w.Code)
	}
	twice := withBody("POST", "/devices", "application/json", `{}`)
	twice.Header.Add("Content-Type", "text/plain")
	if w := h.serve(twice); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("two types got %d", w.Code)
	}
	unknown := withBody("PUT", "/blocks/bob", "text/plain", `x`)
	unknown.ContentLength = -1 // chunked
	if w := h.serve(unknown); w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("a body of unknown length got %d", w.Code)
	}
}

func withBody(method, path, contentType, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

// TestFormsOfOtherPagesDoNothing checks that such a request makes no account and is no
// attempt to log in: the budget of the address stays for its user.
func TestFormsOfOtherPagesDoNothing(t *testing.T) {
	h := newHouse(t, func(o *gateway.Options) { o.Limits.LoginsPerSecond = 0.001 })
	for range 5 {
		for _, path := range []string{"/accounts", "/sessions"} {
			r := withBody("POST", path, "text/plain", credentials)
			r.Header.Set("Origin", "https://evil.example.com")
			if w := h.serve(r); w.Code != http.StatusUnsupportedMediaType {
				t.Fatalf("%s got %d %s", path, w.Code, w.Body)
			}
		}
	}
	if status, answer := h.call("", "POST", "/accounts", credentials); status != http.StatusCreated {
		t.Errorf("the first attempt with JSON got %d %+v", status, answer.Error)
	}
	if status, answer := h.call("", "POST", "/sessions", credentials); status != http.StatusTooManyRequests || answer.Error.Code != schemas.CodeRateLimited {
		t.Errorf("the second one got %d %+v", status, answer.Error)
	}
}

// serve answers one request without a network.
func (h *house) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.server.Handler().ServeHTTP(w, r)
	return w
}
