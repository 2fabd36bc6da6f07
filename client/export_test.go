package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"roost/client"
	"roost/schemas"
)

func TestExport(t *testing.T) {
	var body string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method+r.URL.Path+r.Header.Get("Authorization") != "GET/exportBearer secret" {
			t.Errorf("the server saw %s %s", r.Method, r.URL)
		}
		_, _ = io.WriteString(w, body)
	}))
	defer srv.Close()
	api := &client.API{URL: srv.URL, Token: "secret"}
	const device, unknown = `{"kind":"removed_device","device_id":"D"}` + "\n", `{"kind":"of the future","x":[1]}` + "\n"
	unavailable := `{"kind":"error","error":{"code":"unavailable","message":"No history.","retry_after_ms":7}}` + "\n"
	for name, test := range map[string]struct {
		body  string
		items int64
		whole bool
		code  schemas.Code
	}{
		"whole":                  {device + unknown + `{"kind":"end","items":2}` + "\n", 2, true, ""},
		"nothing stored":         {`{"kind":"end","items":0}` + "\n", 0, true, ""},
		"cut short":              {device, 1, false, ""},
		"lines are missing":      {device + `{"kind":"end","items":2}` + "\n", 1, false, ""},
		"an end without a count": {device + `{"kind":"end"}` + "\n", 1, false, ""},
		"failed":                 {device + unavailable, 1, false, schemas.CodeUnavailable},
		"failed without a word":  {device + `{"kind":"error"}` + "\n", 1, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			body = test.body
			var w strings.Builder
			items, err := api.Export(t.Context(), &w)
			if items != test.items || w.String() != test.body {
				t.Errorf("%d lines:\n%s", items, &w)
			}
			var e *schemas.Error
			switch {
			case test.whole && err != nil:
				t.Error(err)
			case test.code != "" && (!errors.As(err, &e) || e.Code != test.code || e.RetryAfterMS != 7):
				t.Errorf("%v, want %s", err, test.code)
			case !test.whole && test.code == "" && !errors.Is(err, client.ErrIncomplete):
				t.Errorf("%v, want %v", err, client.ErrIncomplete)
			}
		})
	}
	body = "no JSON\n"
	if _, err := api.Export(t.Context(), io.Discard); err == nil || errors.Is(err, client.ErrIncomplete) {
		t.Errorf("a malformed line: %v", err)
	}
	srv.Close()
	if _, err := api.Export(t.Context(), io.Discard); err == nil {
		t.Error("no error without a server")
	}
}
