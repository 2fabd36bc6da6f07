package schemas_test

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"roost/schemas"
)

// TestDecodeClientFrameIsLenient: the decoder and the schemas accept some forms that Roost does not
// write.
func TestDecodeClientFrameIsLenient(t *testing.T) {
	send := &schemas.SendMessage{ReceiverID: "bob", Content: "hello", MessageIDByClient: 17, Timestamp: now}
	const rest = `,"content":"hello","message_id_by_client":17,"timestamp":1760000000000`
	tests := []struct {
		name string
		in   string
		want schemas.ClientFrame
	}{
		{"action", `{"action":"heartbeat"}`, &schemas.Heartbeat{}},
		{"type and action", `{"action":"heartbeat","type":"heartbeat"}`, &schemas.Heartbeat{}},
		{"type last", `{"cursor":"4711","type":"ack"}`, &schemas.Ack{Cursor: "4711"}},
		{"white space", " \r\n\t{ \"type\" :\t\"ack\" , \"cursor\"\n:\"4711\" } \n", &schemas.Ack{Cursor: "4711"}},
		{"unknown fields", `{"type":"ack","v":{"cursor":[1e999,{}]},"v":null,"":"]}","cursor":"4711","Émile":0.5}`, &schemas.Ack{Cursor: "4711"}},
		{"escaped name", `{"\u0074ype":"ack","cursor":"4711"}`, &schemas.Ack{Cursor: "4711"}},
		{"optional fields are null", `{"type":"send_message","receiver_id":"bob","group_id":null,"reply_to":null` + rest + `}`, send},
		{"optional fields are empty", `{"type":"send_message","receiver_id":"bob","group_id":"","reply_to":""` + rest + `}`, send},
		{"no timestamp", `{"action":"send_message","group_id":"` + string(group) + `","content":"hello","message_id_by_client":17}`,
			&schemas.SendMessage{GroupID: group, Content: "hello", MessageIDByClient: 17}},
		{"timestamp is null", `{"type":"send_message","receiver_id":"bob","content":"hello","message_id_by_client":17,"timestamp":null}`,
			&schemas.SendMessage{ReceiverID: "bob", Content: "hello", MessageIDByClient: 17}},
		{"timestamp is 0", `{"type":"message_delivered","message_id":"` + ulid + `","timestamp":0}`, &schemas.DeliveredAck{MessageID: ulid}},
		{"hello with empty fields", `{"type":"hello","token":"","device_id":"","device_name":"phone","resume_after":null}`, &schemas.Hello{DeviceName: "phone"}},
		{"surrogate pair", `{"type":"ack","cursor":"\ud83d\udc4b\\ud83d"}`, &schemas.Ack{Cursor: `👋\ud83d`}},
		{"1000 characters of 4 bytes", `{"type":"send_message","receiver_id":"bob","content":"` + strings.Repeat("👋", 1000) + `","message_id_by_client":1,"timestamp":1}`,
			&schemas.SendMessage{ReceiverID: "bob", Content: strings.Repeat("👋", 1000), MessageIDByClient: 1, Timestamp: 1}},
		{"largest number", `{"type":"send_message","receiver_id":"bob","content":"\u0000","message_id_by_client":9007199254740991,"timestamp":9007199254740991}`,
			&schemas.SendMessage{ReceiverID: "bob", Content: "\x00", MessageIDByClient: 1<<53 - 1, Timestamp: 1<<53 - 1}},
	}
	union := schema(t, "client_frame")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, number, e := schemas.DecodeClientFrame([]byte(tt.in))
			if e != nil {
				t.Fatal(e)
			}
			if !reflect.DeepEqual(got, tt.want) || number != 0 {
				t.Errorf("%#v, %d, want %#v", got, number, tt.want)
			}
			if err := validate(union, []byte(tt.in)); err != nil {
				t.Errorf("the schema refuses it: %v", err)
			}
		})
	}
}

// TestDecodeClientFrameRefuses tests invalid frames that are not JSON text files. The others are in
// testdata/invalid.
func TestDecodeClientFrameRefuses(t *testing.T) {
	const send = `{"type":"send_message","receiver_id":"bob","message_id_by_client":17,"timestamp":1,`
	tests := []struct {
		name   string
		in     string
		code   schemas.Code
		field  string
		number schemas.ClientMessageID
	}{
		{"nothing", "", schemas.CodeBadFrame, "", 0},
		{"white space", " \n", schemas.CodeBadFrame, "", 0},
		{"invalid UTF-8 in content", send + "\"content\":\"\xff\"}", schemas.CodeInvalidArgument, "content", 17},
		{"invalid UTF-8 in an unknown field", "{\"type\":\"heartbeat\",\"note\":[\"\xff\"]}", schemas.CodeInvalidArgument, "note", 0},
		{"invalid UTF-8 in a name", "{\"type\":\"heartbeat\",\"no\xffte\":1}", schemas.CodeBadFrame, "", 0},
		{"invalid UTF-8 in no JSON", "{\"type\":\xff}", schemas.CodeBadFrame, "", 0},
		{"surrogate in UTF-8", send + "\"content\":\"\xed\xa0\xbd\"}", schemas.CodeInvalidArgument, "content", 17},
		{"first half of a pair", send + `"content":"\ud83d"}`, schemas.CodeInvalidArgument, "content", 17},
		{"first half twice", send + `"content":"\ud83d\ud83d\udc4b"}`, schemas.CodeInvalidArgument, "content", 17},
		{"second half of a pair", send + `"content":"\udc4b"}`, schemas.CodeInvalidArgument, "content", 17},
		{"pair in reverse", send + `"content":"\uDC4B\uD83D"}`, schemas.CodeInvalidArgument, "content", 17},
		{"pair apart", send + `"content":"\ud83d \udc4b"}`, schemas.CodeInvalidArgument, "content", 17},
		{"pair over two fields", send + `"content":"\ud83d","note":"\udc4b"}`, schemas.CodeInvalidArgument, "content", 17},
		{"half a pair in a list", `{"type":"presence_subscribe","user_ids":["bob","\ud83d"]}`, schemas.CodeInvalidArgument, "user_ids", 0},
		{"half a pair in an unknown field", `{"type":"heartbeat","note":{"a":"\ud83d"}}`, schemas.CodeInvalidArgument, "note", 0},
		{"escaped name twice", `{"type":"ack","cursor":"1","c\u0075rsor":"2"}`, schemas.CodeInvalidArgument, "cursor", 0},
		{"type twice", `{"type":"heartbeat","type":"heartbeat"}`, schemas.CodeInvalidArgument, "type", 0},
		{"type in two cases", `{"Type":"heartbeat","type":"heartbeat"}`, schemas.CodeInvalidArgument, "type", 0},
		{"type in another case", `{"Type":"heartbeat"}`, schemas.CodeInvalidArgument, "type", 0},
		{"long s for s", `{"type":"ack","curſor":"1","cursor":"1"}`, schemas.CodeInvalidArgument, "cursor", 0},
		{"type null", `{"type":null,"action":"heartbeat"}`, schemas.CodeInvalidArgument, "type", 0},
		{"very long number", send + `"content":"hello","reply_to":` + strings.Repeat("9", 5000) + `}`, schemas.CodeInvalidArgument, "reply_to", 17},
		{"very long number out of range", `{"type":"message_delivered","message_id":"` + ulid + `","timestamp":` + strings.Repeat("9", 5000) + `}`, schemas.CodeInvalidArgument, "timestamp", 0},
		{"very long type", `{"type":"` + strings.Repeat("é", 5000) + `"}`, schemas.CodeUnknownType, "", 0},
		{"very long name", `{"type":"heartbeat","` + strings.Repeat("n", 5000) + `":"\ud83d"}`, schemas.CodeInvalidArgument, strings.Repeat("n", 41) + "…", 0},
		{"very deep", `{"type":"heartbeat","note":` + strings.Repeat("[", 1<<14), schemas.CodeBadFrame, "", 0},
		{"number beside another frame", `{"type":"ack","message_id_by_client":17}`, schemas.CodeInvalidArgument, "cursor", 0},
		{"number of an action", `{"action":"send_message","message_id_by_client":17}`, schemas.CodeInvalidArgument, "receiver_id", 17},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frame, number, e := schemas.DecodeClientFrame([]byte(tt.in))
			if e == nil {
				t.Fatalf("accepted as %#v", frame)
			}
			if e.Code != tt.code || e.Field != tt.field || number != tt.number {
				t.Errorf("code %q field %q number %d, want %q %q %d\n%v", e.Code, e.Field, number, tt.code, tt.field, tt.number, e)
			}
			if e.Code == schemas.CodeInvalidArgument && !strings.HasPrefix(e.Message, tt.field+": ") {
				t.Errorf("the message does not start with the field: %s", e.Message)
			}
			if len(e.Message) > 200 {
				t.Errorf("the message has %d bytes", len(e.Message))
			}
		})
	}
}

func TestDecodeServerFrameErrors(t *testing.T) {
	tests := []struct {
		in   string
		code schemas.Code
	}{
		{`{"type":"from_the_future"}`, schemas.CodeUnknownType},
		{`{"type":"hello"}`, schemas.CodeUnknownType},
		{`{"cursor":"4711"}`, schemas.CodeInvalidArgument},
		{`{"type":"inbox_drained","cursor":4711}`, schemas.CodeInvalidArgument},
		{`{"type":"inbox_drained"`, schemas.CodeBadFrame},
		{`7`, schemas.CodeBadFrame},
	}
	for _, tt := range tests {
		frame, err := schemas.DecodeServerFrame([]byte(tt.in))
		var e *schemas.Error
		if !errors.As(err, &e) || e.Code != tt.code || frame != nil {
			t.Errorf("%s: %#v, %v, want %s", tt.in, frame, err, tt.code)
		}
	}
}

func TestDecodeBody(t *testing.T) {
	tests := []struct {
		name  string
		in    io.Reader
		code  schemas.Code // empty: accepted
		field string
	}{
		{"plain", strings.NewReader(`{"user_id":"alice","password":"correct horse"}`), "", ""},
		{"unknown field", strings.NewReader(`{"user_id":"alice","password":"correct horse","type":7}`), "", ""},
		{"nothing", strings.NewReader(``), schemas.CodeBadFrame, ""},
		{"list", strings.NewReader(`[]`), schemas.CodeBadFrame, ""},
		{"null", strings.NewReader(`null`), schemas.CodeBadFrame, ""},
		{"two objects", strings.NewReader(`{"user_id":"alice"} {}`), schemas.CodeBadFrame, ""},
		{"wrong type", strings.NewReader(`{"user_id":7}`), schemas.CodeInvalidArgument, "user_id"},
		{"invalid UTF-8", strings.NewReader("{\"password\":\"\xff\"}"), schemas.CodeInvalidArgument, "password"},
		{"half a pair", strings.NewReader(`{"password":"\ud83d"}`), schemas.CodeInvalidArgument, "password"},
		{"twice", strings.NewReader(`{"user_id":"alice","user_id":"bob"}`), schemas.CodeInvalidArgument, "user_id"},
		{"other case", strings.NewReader(`{"User_ID":"alice"}`), schemas.CodeInvalidArgument, "user_id"},
		{"broken reader", iotest.ErrReader(io.ErrUnexpectedEOF), schemas.CodeBadFrame, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got schemas.Credentials
			e := schemas.DecodeBody(tt.in, &got)
			if tt.code == "" {
				if want := (schemas.Credentials{UserID: "alice", Password: "correct horse"}); e != nil || got != want {
					t.Errorf("%+v, %v", got, e)
				}
				return
			}
			if e == nil || e.Code != tt.code || e.Field != tt.field {
				t.Errorf("%v, want code %q field %q", e, tt.code, tt.field)
			}
		})
	}
	var anything map[string]any
	if e := schemas.DecodeBody(strings.NewReader(`{"a":1,"A":2}`), &anything); e != nil || len(anything) != 2 {
		t.Errorf("into a map: %v, %v", anything, e)
	}
}
