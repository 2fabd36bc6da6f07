package schemas_test

import (
	"encoding/json"
	"strings"
	"testing"

	"roost/schemas"
)

func TestDecodeMessageRefusesPoison(t *testing.T) {
	valid := string(direct.Encode())
	tests := []struct{ name, old, new string }{
		{"no JSON", valid, valid[:len(valid)-1]},
		{"no object", valid, `[]`},
		{"null", valid, `null`},
		{"no message id", string(direct.MessageID), ""},
		{"malformed message id", string(direct.MessageID), "7"},
		{"no sender", `"alice"`, `""`},
		{"no receiver", `"receiver_id":"bob",`, ``},
		{"two receivers", `"receiver_id":"bob"`, `"receiver_id":"bob","group_id":"` + string(group) + `"`},
		{"malformed group", `"receiver_id":"bob"`, `"group_id":"g-7"`},
		{"no content", `"content":`, `"text":`},
		{"no timestamp", `"timestamp":1760000000000`, `"timestamp":0`},
		{"timestamp is text", `1760000000000`, `"1760000000000"`},
	}
	if _, err := schemas.DecodeMessage([]byte(valid)); err != nil {
		t.Fatal(err)
	}
	s := schema(t, "record/message")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := strings.Replace(valid, tt.old, tt.new, 1)
			if data == valid {
				t.Fatal("the test changes nothing")
			}
			if m, err := schemas.DecodeMessage([]byte(data)); err == nil || m != (schemas.Message{}) {
				t.Errorf("%+v, %v", m, err)
			}
			if validate(s, []byte(data)) == nil {
				t.Error("the schema allows it")
			}
		})
	}
}

func TestMessageChat(t *testing.T) {
	if got := direct.Chat(); got != "alice.bob" {
		t.Errorf("direct: %q", got)
	}
	if got := toGroup.Chat(); got != schemas.ChatID(group) {
		t.Errorf("group: %q", got)
	}
}

func TestDecodeEntryHead(t *testing.T) {
	head, err := schemas.DecodeEntryHead(toGroup.StoredMessage())
	if want := (schemas.EntryHead{Type: schemas.TypeIncomingMessage, MessageID: first, SenderID: "alice", GroupID: group}); head != want || err != nil {
		t.Errorf("%+v, %v, want %+v", head, err, want)
	}
	entry := string(direct.StoredMessage())
	for _, bad := range []string{"", "null", "[]", `{"type":"incoming_message"}`, " " + entry, entry + " ", entry[:len(entry)-1]} {
		if _, err := schemas.DecodeEntryHead([]byte(bad)); err == nil {
			t.Errorf("accepted: %q", bad)
		}
	}
}

func TestAppendCursor(t *testing.T) {
	entry := direct.StoredMessage()
	before := string(entry)
	got := schemas.AppendCursor([]byte("> "), entry, cursor)
	if want := "> " + before[:len(before)-1] + `,"cursor":"4711"}`; string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if string(entry) != before {
		t.Error("the entry, which other devices share, was written to")
	}
	if want := schemas.EncodeFrame(&schemas.Incoming{Message: direct, Cursor: cursor}); string(got[2:]) != string(want) {
		t.Errorf("the frame is not the one that EncodeFrame makes:\n%s\n%s", got[2:], want)
	}
}

func TestHash(t *testing.T) {
	hash := func(f schemas.Send) schemas.ContentHash {
		m := f.Draft()
		return m.Hash()
	}
	base := schemas.SendMessage{ReceiverID: "bob", Content: "hello", MessageIDByClient: 17, Timestamp: now}
	change := func(f func(*schemas.SendMessage)) schemas.ContentHash {
		m := base
		f(&m)
		return hash(&m)
	}
	update := func(target schemas.MessageID, change schemas.MessageChange) schemas.ContentHash {
		return hash(&schemas.UpdateMessage{ReceiverID: "bob", TargetMessageID: target, Change: change, Content: "hello"})
	}
	if a := update(first, schemas.ChangeEdit); a != update(first, schemas.ChangeEdit) ||
		a == update(second, schemas.ChangeEdit) || a == update(first, schemas.ChangeReaction) {
		t.Error("the hash of an update is not that of what it does to which message")
	}
	tests := []struct {
		name string
		hash schemas.ContentHash
		same bool
	}{
		{"nothing", hash(&base), true},
		{"timestamp", change(func(m *schemas.SendMessage) { m.Timestamp++ }), true},
		{"number", change(func(m *schemas.SendMessage) { m.MessageIDByClient++ }), true},
		{"content", change(func(m *schemas.SendMessage) { m.Content += " " }), false},
		{"receiver", change(func(m *schemas.SendMessage) { m.ReceiverID = "carol" }), false},
		{"group", change(func(m *schemas.SendMessage) { m.ReceiverID, m.GroupID = "", "bob" }), false},
		{"reply", change(func(m *schemas.SendMessage) { m.ReplyTo = first }), false},
		{"moved between fields", change(func(m *schemas.SendMessage) { m.ReceiverID, m.Content = "bobh", "ello" }), false},
		{"an update", update(first, schemas.ChangeEdit), false},
	}
	for _, tt := range tests {
		if same := tt.hash == hash(&base); same != tt.same {
			t.Errorf("%s: the same hash: %v, want %v", tt.name, same, tt.same)
		}
	}
}

func TestWatermarkMerge(t *testing.T) {
	none, a, b := schemas.Watermark{}, schemas.Watermark{DeliveredUpTo: second}, schemas.Watermark{DeliveredUpTo: first, ReadUpTo: first}
	tests := []struct{ x, y, want schemas.Watermark }{
		{none, none, none},
		{none, a, a},
		{a, b, schemas.Watermark{DeliveredUpTo: second, ReadUpTo: first}},
		{b, b, b},
	}
	for _, tt := range tests {
		if got := tt.x.Merge(tt.y); got != tt.want {
			t.Errorf("%+v and %+v: %+v", tt.x, tt.y, got)
		}
		if got := tt.y.Merge(tt.x); got != tt.want {
			t.Errorf("%+v and %+v: %+v", tt.y, tt.x, got)
		}
	}
}

func TestDecodeSaysWhatItExpected(t *testing.T) {
	_, err := schemas.Decode[schemas.Session]([]byte(`{"session_id":7}`))
	if err == nil || !strings.Contains(err.Error(), "schemas.Session") {
		t.Errorf("%v", err)
	}
}

// TestPublicForms: the forms for clients leave out the fields of the server.
func TestPublicForms(t *testing.T) {
	device := schemas.Device{DeviceID: device, Name: "phone", CreatedAt: now, Unclaimed: true}
	settings := schemas.Settings{HistoryStorage: 90, HistorySince: now, LastSeen: schemas.LastSeenNobody, ReadReceipts: true}
	tests := map[string][]string{
		string(schemas.Encode(device.Info())):                                        {"created_at", "device_id", "name"},
		string(schemas.Encode(settings.Public())):                                    {"history_storage", "last_seen", "read_receipts"},
		string(schemas.Encode(ptr(schemas.MessageState{Message: direct}).History())): {"content", "message_id", "receiver_id", "reply_to", "sender_id", "timestamp"},
	}
	for data, want := range tests {
		var fields map[string]any
		if err := json.Unmarshal([]byte(data), &fields); err != nil {
			t.Fatal(err)
		}
		for _, name := range want {
			if _, ok := fields[name]; !ok {
				t.Errorf("%s has no %s", data, name)
			}
		}
		if len(fields) != len(want) {
			t.Errorf("%s has other fields than %v", data, want)
		}
	}
}
