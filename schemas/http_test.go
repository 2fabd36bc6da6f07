package schemas_test

import (
	"reflect"
	"strings"
	"testing"

	"roost/schemas"
)

func TestCredentialsValidate(t *testing.T) {
	tests := []struct {
		name     string
		user     schemas.UserID
		password string
		field    string // empty: accepted
	}{
		{"plain", "alice", "correct horse", ""},
		{"shortest", "a", "12345678", ""},
		{"shortest in bytes", "a", "👋👋", ""},
		{"longest", schemas.UserID(strings.Repeat("x", 64)), strings.Repeat("x", 1024), ""},
		{"no user", "", "correct horse", "user_id"},
		{"user of an external issuer", "carol@example.org", "correct horse", "user_id"},
		{"user like a group", "g-alice", "correct horse", "user_id"},
		{"user too long", schemas.UserID(strings.Repeat("x", 65)), "correct horse", "user_id"},
		{"no password", "alice", "", "password"},
		{"password too short", "alice", "1234567", "password"},
		{"password too long", "alice", strings.Repeat("x", 1025), "password"},
	}
	s := schema(t, "http/credentials")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := schemas.Credentials{UserID: tt.user, Password: tt.password}
			check(t, c.Validate(), tt.field)
			if err := validate(s, schemas.Encode(c)); err != nil && tt.field == "" {
				t.Errorf("the schema refuses it: %v", err)
			}
		})
	}
}

// check compares the field of an error with the expected one.
func check(t *testing.T, e *schemas.Error, field string) {
	t.Helper()
	switch {
	case field == "" && e != nil:
		t.Error(e)
	case field != "" && (e == nil || e.Code != schemas.CodeInvalidArgument || e.Field != field):
		t.Errorf("%v, want invalid_argument of %s", e, field)
	}
}

func TestSettingsChangeValidate(t *testing.T) {
	tests := []struct {
		name  string
		body  string
		field string // empty: accepted
	}{
		{"nothing", `{}`, ""},
		{"everything", `{"history_storage":90,"last_seen":"nobody","read_receipts":false}`, ""},
		{"off", `{"history_storage":0,"last_seen":"everyone","read_receipts":true}`, ""},
		{"nulls", `{"history_storage":null,"last_seen":null,"read_receipts":null}`, ""},
		{"other days", `{"history_storage":30}`, "history_storage"},
		{"negative days", `{"history_storage":-90}`, "history_storage"},
		{"days as text", `{"history_storage":"90"}`, "history_storage"},
		{"unknown value", `{"last_seen":"friends"}`, "last_seen"},
		{"empty", `{"last_seen":""}`, "last_seen"},
		{"receipts as text", `{"read_receipts":"yes"}`, "read_receipts"},
	}
	s := schema(t, "http/settings_change")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c schemas.SettingsChange
			e := schemas.DecodeBody(strings.NewReader(tt.body), &c)
			if e == nil {
				e = c.Validate()
			}
			check(t, e, tt.field)
			if allowed := validate(s, []byte(tt.body)) == nil; allowed != (tt.field == "") {
				t.Errorf("the schema allows it: %v", allowed)
			}
		})
	}
}

func TestSettingsChangeApply(t *testing.T) {
	on := schemas.Settings{HistoryStorage: 90, HistorySince: now, LastSeen: schemas.LastSeenNobody, ReadReceipts: true}
	off := schemas.Settings{LastSeen: schemas.LastSeenNobody, ReadReceipts: true}
	later := now + 1000
	tests := []struct {
		name   string
		before schemas.Settings
		change schemas.SettingsChange
		want   schemas.Settings
	}{
		{"nothing", on, schemas.SettingsChange{}, on},
		{"switch history on", off, schemas.SettingsChange{HistoryStorage: ptr(90)},
			schemas.Settings{HistoryStorage: 90, HistorySince: later, LastSeen: schemas.LastSeenNobody, ReadReceipts: true}},
		{"it is on already", on, schemas.SettingsChange{HistoryStorage: ptr(90)}, on},
		{"switch history off", on, schemas.SettingsChange{HistoryStorage: ptr(0)}, off},
		{"it is off already", off, schemas.SettingsChange{HistoryStorage: ptr(0)}, off},
		{"last seen", on, schemas.SettingsChange{LastSeen: ptr(schemas.LastSeenEveryone)},
			schemas.Settings{HistoryStorage: 90, HistorySince: now, LastSeen: schemas.LastSeenEveryone, ReadReceipts: true}},
		{"read receipts", off, schemas.SettingsChange{ReadReceipts: ptr(false)},
			schemas.Settings{LastSeen: schemas.LastSeenNobody}},
		{"everything", off, schemas.SettingsChange{HistoryStorage: ptr(90), LastSeen: ptr(schemas.LastSeenEveryone), ReadReceipts: ptr(false)},
			schemas.Settings{HistoryStorage: 90, HistorySince: later, LastSeen: schemas.LastSeenEveryone}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.change.Apply(tt.before, later); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
	if off.KeepsHistory() || !on.KeepsHistory() {
		t.Error("KeepsHistory")
	}
}

func TestAnswerSchema(t *testing.T) {
	tests := map[string]bool{
		`{"status":"success"}`:                                                   true,
		`{"status":"success","data":null}`:                                       true,
		`{"status":"success","data":[]}`:                                         true,
		`{"status":"failed","error":{"code":"internal","message":"It failed."}}`: true,
		`{"data":{}}`:         false,
		`{"status":"ok"}`:     false,
		`{"status":"failed"}`: false,
		`{"status":"failed","error":{"code":"internal"}}`:                                   false,
		`{"status":"failed","error":{"code":"oops","message":"It failed."}}`:                false,
		`{"status":"failed","error":{"code":"internal","message":"It failed."},"data":{}}`:  false,
		`{"status":"success","error":{"code":"internal","message":"It failed."},"data":{}}`: false,
	}
	s := schema(t, "http/answer")
	for body, want := range tests {
		if err := validate(s, []byte(body)); (err == nil) != want {
			t.Errorf("%s: %v, want allowed %v", body, err, want)
		}
	}
}

func TestCheckContentType(t *testing.T) {
	for _, header := range []string{"application/json", "APPLICATION/JSON", "application/json; charset=utf-8", `application/json;charset="UTF-8"`, " application/json ", "application/json; x=y"} {
		if e := schemas.CheckContentType([]string{header}); e != nil {
			t.Errorf("%q: %v", header, e)
		}
	}
	for _, header := range [][]string{nil, {}, {""}, {"text/plain"}, {"application/json", "application/json"}, {"application/json, text/plain"},
		{"text/plain; application/json"}, {"application/json; charset=utf-16"}, {"application/json; charset"}, {strings.Repeat("x", 100000)}} {
		e := schemas.CheckContentType(header)
		if e == nil || e.Code != schemas.CodeUnsupportedType || !strings.Contains(e.Message, "application/json") || len(e.Message) > 200 {
			t.Errorf("%q: %v", header, e)
		}
	}
}
