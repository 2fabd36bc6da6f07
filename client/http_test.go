package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"roost/client"
	"roost/client/clienttest"
	"roost/schemas"
)

// request is a request that the server received.
type request struct{ method, path, auth, contentType, body string }

// TestIdempotent: the key is in requests that create something. The original API has no key.
func TestIdempotent(t *testing.T) {
	var keys []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Method+" "+r.Header.Get("Idempotency-Key"))
		_, _ = io.WriteString(w, `{"status":"success","data":{}}`)
	}))
	defer srv.Close()
	plain := &client.API{URL: srv.URL, Token: "secret"}
	for _, api := range []*client.API{plain.Idempotent("6f1c"), plain} {
		if _, err := api.RegisterDevice(t.Context(), "phone"); err != nil {
			t.Fatal(err)
		}
		if err := api.Block(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"POST 6f1c", "PUT ", "POST ", "PUT "}; !slices.Equal(keys, want) {
		t.Errorf("the server saw %q, not %q", keys, want)
	}
}

func TestReadMarks(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages := map[string]string{"/reads": `{"items":[{"chat":"bob","read_up_to":"M1"}],"next":"a b"}`,
			"/reads?after=a+b": `{"items":[{"chat":"carol","read_up_to":"M2"}]}`}
		_, _ = io.WriteString(w, `{"status":"success","data":`+pages[r.URL.RequestURI()]+`}`)
	}))
	defer srv.Close()
	marks, err := (&client.API{URL: srv.URL, Token: "secret"}).ReadMarks(t.Context())
	if want := []schemas.ReadMark{{Chat: "bob", ReadUpTo: "M1"}, {Chat: "carol", ReadUpTo: "M2"}}; err != nil || !slices.Equal(marks, want) {
		t.Errorf("%+v, %v", marks, err)
	}
}

func TestAPIRequests(t *testing.T) {
	var seen request
	var data string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = request{r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(body)}
		_, _ = io.WriteString(w, `{"status":"success","data":`+data+`}`)
	}))
	defer srv.Close()
	api := &client.API{URL: "ws" + srv.URL[len("http"):] + "/", Token: "secret"} // API accepts the URL of Options
	ctx := context.Background()
	const asJSON = "application/json"
	days := schemas.HistoryDays
	for name, test := range map[string]struct {
		call     func() (any, error)
		data     string
		expected request
		result   any
	}{
		"register": {func() (any, error) { return api.Register(ctx, "alice", "correct horse") },
			`{"user_id":"alice","created_at":5}`,
			request{"POST", "/accounts", "Bearer secret", asJSON, `{"user_id":"alice","password":"correct horse"}`},
			schemas.AccountCreated{UserID: "alice", CreatedAt: 5}},
		"login": {func() (any, error) { return api.Login(ctx, "alice", "correct horse") },
			`{"token":"t","expires_at":9}`,
			request{"POST", "/sessions", "Bearer secret", asJSON, `{"user_id":"alice","password":"correct horse"}`},
			schemas.Token{Token: "t", ExpiresAt: 9}},
		"register device": {func() (any, error) { return api.RegisterDevice(ctx, "laptop") },
			`{"device_id":"D","name":"laptop","created_at":1}`,
			request{"POST", "/devices", "Bearer secret", asJSON, `{"name":"laptop"}`},
			schemas.DeviceInfo{DeviceID: "D", Name: "laptop", CreatedAt: 1}},
		"remove device": {func() (any, error) { return nil, api.RemoveDevice(ctx, "a/b") },
			`{}`, request{"DELETE", "/devices/a%2Fb", "Bearer secret", "", ""}, nil},
		"delete account": {func() (any, error) {
			deleted, err := api.DeleteAccount(ctx, "correct horse")
			return deleted.Kept[0], err
		}, `{"user_id":"alice","deleted_at":5,"kept":[{"where":"devices","what":"All."}]}`,
			request{"DELETE", "/account", "Bearer secret", asJSON, `{"password":"correct horse"}`},
			schemas.Kept{Where: schemas.KeptOnDevices, What: "All."}},
		"delete account of an issuer": {func() (any, error) {
			deleted, err := api.DeleteAccount(ctx, "")
			return deleted.DeletedAt, err
		}, `{"user_id":"alice","deleted_at":5,"kept":[]}`, request{"DELETE", "/account", "Bearer secret", "", ""}, schemas.Timestamp(5)},
		"settings": {func() (any, error) { return api.Settings(ctx) },
			`{"history_storage":90,"last_seen":"nobody","read_receipts":true}`,
			request{"GET", "/user/settings", "Bearer secret", "", ""},
			schemas.UserSettings{HistoryStorage: 90, LastSeen: "nobody", ReadReceipts: true}},
		"change settings": {func() (any, error) {
			return api.ChangeSettings(ctx, schemas.SettingsChange{HistoryStorage: &days})
		}, `{"history_storage":90,"last_seen":"everyone","read_receipts":true}`,
			request{"PUT", "/user/settings", "Bearer secret", asJSON, `{"history_storage":90}`},
			schemas.UserSettings{HistoryStorage: 90, LastSeen: "everyone", ReadReceipts: true}},
		"block": {func() (any, error) { return nil, api.Block(ctx, "a/b") },
			`{}`, request{"PUT", "/blocks/a%2Fb", "Bearer secret", "", ""}, nil},
		"unblock": {func() (any, error) { return nil, api.Unblock(ctx, "a/b") },
			`{}`, request{"DELETE", "/blocks/a%2Fb", "Bearer secret", "", ""}, nil},
		"status": {func() (any, error) { return api.Status(ctx, "idp|ä/b") },
			`{"connection_state":"online"}`,
			request{"GET", "/user/idp%7C%C3%A4%2Fb/status", "Bearer secret", "", ""},
			schemas.UserStatus{ConnectionState: "online"}},
	} {
		t.Run(name, func(t *testing.T) {
			data = test.data
			result, err := test.call()
			if err != nil || result != test.result {
				t.Errorf("%+v, %v", result, err)
			}
			if seen != test.expected {
				t.Errorf("the server saw %+v, instead of %+v", seen, test.expected)
			}
		})
	}

	data = `{"disappearing_days":7}`
	week := 7
	for method, call := range map[string]func() (schemas.ChatSettings, error){
		"GET": func() (schemas.ChatSettings, error) { return api.ChatSettings(ctx, "b/b") },
		"PUT": func() (schemas.ChatSettings, error) {
			return api.ChangeChatSettings(ctx, "b/b", schemas.ChatSettings{DisappearingDays: &week})
		},
	} {
		settings, err := call()
		if err != nil || settings.DisappearingDays == nil || *settings.DisappearingDays != 7 {
			t.Errorf("%s /chats: %+v, %v", method, settings, err)
		}
		if seen.method != method || seen.path != "/chats/b%2Fb" || seen.body != map[string]string{"PUT": data}[method] {
			t.Errorf("%s /chats: the server saw %+v", method, seen)
		}
	}

	data = `{"user_ids":["bob","carol"]}`
	if blocked, err := api.Blocks(ctx); err != nil || !slices.Equal(blocked, []schemas.UserID{"bob", "carol"}) || seen.path != "/blocks" {
		t.Errorf("blocks: %v, %v by %+v", blocked, err, seen)
	}

	data = `[{"message_id":"M","sender_id":"bob","content":"hi","timestamp":3}]`
	page, err := api.History(ctx, schemas.Participant{User: "bob"}, schemas.PageBounds{UpTo: 77})
	if err != nil || len(page) != 1 || page[0].Content != "hi" || seen.path != "/history/bob?last_timestamp=77" {
		t.Errorf("History: %+v, %v, saw %+v", page, err, seen)
	}
	_, err = api.History(ctx, schemas.Participant{Group: "g-01JD000000000000000000000A"}, schemas.PageBounds{})
	if err != nil || seen.path != "/history/g-01JD000000000000000000000A" {
		t.Errorf("History of a group: %v, saw %+v", err, seen)
	}
	older := schemas.PageBounds{Before: "01K73S8AC0GR0VPGR0VPGR0VPG", UpTo: 77}
	if _, err = api.History(ctx, schemas.Participant{User: "bob"}, older); err != nil || seen.path != "/history/bob?before=01K73S8AC0GR0VPGR0VPGR0VPG&last_timestamp=77" {
		t.Errorf("older history: %v, saw %+v", err, seen)
	}
	data = `[{"device_id":"D","name":"n","created_at":1}]`
	devices, err := api.Devices(ctx)
	if err != nil || len(devices) != 1 || seen.path != "/devices" {
		t.Errorf("Devices: %+v, %v", devices, err)
	}
	data = `7`
	if _, err := api.Devices(ctx); err == nil {
		t.Error("Devices accepted a number")
	}
}

func TestAPIErrors(t *testing.T) {
	srv := clienttest.New()
	defer srv.Close()
	ctx := context.Background()
	api := &client.API{URL: srv.URL}
	code := func(err error) schemas.Code {
		var e *schemas.Error
		if !errors.As(err, &e) || e.Message == "" {
			t.Errorf("%v is not a schemas.Error", err)
			return ""
		}
		return e.Code
	}
	if _, err := api.Register(ctx, "alice", "password"); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Register(ctx, "alice", "password"); code(err) != schemas.CodeConflict {
		t.Error(err)
	}
	if _, err := api.Login(ctx, "alice", "passw0rd"); code(err) != schemas.CodeUnauthenticated {
		t.Error(err)
	}
	token, err := api.Login(ctx, "alice", "password")
	if err != nil {
		t.Fatal(err)
	}
	api.Token = token.Token
	if _, err := api.RegisterDevice(ctx, ""); code(err) != schemas.CodeInvalidArgument {
		t.Error(err)
	}
	for range 3 {
		if _, err := api.RegisterDevice(ctx, "x"); err != nil {
			t.Error(err)
		}
	}
	if _, err := api.RegisterDevice(ctx, "x"); code(err) != schemas.CodeDeviceLimit {
		t.Error(err)
	}
	if _, err := api.Status(ctx, "nobody"); code(err) != schemas.CodeNotFound {
		t.Error(err)
	}

	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := map[string]int{"/devices": 502, "/user/settings": 429, "/user/x/status": 418}[r.URL.Path]
		http.Error(w, "<html>", status)
	}))
	defer stranger.Close()
	api = &client.API{URL: stranger.URL}
	if _, err := api.Devices(ctx); code(err) != schemas.CodeUnavailable {
		t.Error(err)
	}
	if _, err := api.Settings(ctx); code(err) != schemas.CodeRateLimited {
		t.Error(err)
	}
	if _, err := api.Status(ctx, "x"); code(err) != schemas.CodeInternal {
		t.Error(err)
	}
	stranger.Close()
	var e *schemas.Error
	if _, err := api.Devices(ctx); err == nil || errors.As(err, &e) {
		t.Errorf("no answer is %v", err)
	}
	if _, err := (&client.API{URL: "nonsense"}).Devices(ctx); err == nil {
		t.Error("nonsense is no URL")
	}
}
