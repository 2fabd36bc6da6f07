package schemas_test

import (
	"os"
	"path/filepath"
	"testing"

	"roost/schemas"
)

// invalid has the frames in testdata/invalid and the errors of DecodeClientFrame. The schemas
// refuse them too, unless schemaAllows has a reason.
var invalid = []struct {
	file         string
	code         schemas.Code
	field        string
	number       schemas.ClientMessageID
	schemaAllows string
}{
	{file: "not_json", code: schemas.CodeBadFrame},
	{file: "two_objects", code: schemas.CodeBadFrame},
	{file: "not_an_object", code: schemas.CodeBadFrame},
	{file: "null", code: schemas.CodeBadFrame},

	{file: "type_missing", code: schemas.CodeInvalidArgument, field: "type"},
	{file: "type_empty", code: schemas.CodeInvalidArgument, field: "type"},
	{file: "type_number", code: schemas.CodeInvalidArgument, field: "type"},
	{file: "type_unknown", code: schemas.CodeUnknownType},
	{file: "type_of_the_server", code: schemas.CodeUnknownType},
	{file: "action_differs", code: schemas.CodeInvalidArgument, field: "action"},

	{file: "hello_no_device", code: schemas.CodeInvalidArgument, field: "device_id"},
	{file: "hello_both_devices", code: schemas.CodeInvalidArgument, field: "device_name"},
	{file: "hello_device_id_malformed", code: schemas.CodeInvalidArgument, field: "device_id"},
	{file: "hello_device_name_too_long", code: schemas.CodeInvalidArgument, field: "device_name"},
	{file: "hello_device_name_invisible", code: schemas.CodeInvalidArgument, field: "device_name"},
	{file: "hello_device_name_of_two_lines", code: schemas.CodeInvalidArgument, field: "device_name"},
	{file: "hello_token_number", code: schemas.CodeInvalidArgument, field: "token"},

	{file: "send_no_receiver", code: schemas.CodeInvalidArgument, field: "receiver_id", number: 17},
	{file: "send_two_receivers", code: schemas.CodeInvalidArgument, field: "group_id", number: 17},
	{file: "send_receiver_is_a_group", code: schemas.CodeInvalidArgument, field: "receiver_id", number: 17},
	{file: "send_receiver_too_long", code: schemas.CodeInvalidArgument, field: "receiver_id", number: 17},
	{file: "send_receiver_with_control_character", code: schemas.CodeInvalidArgument, field: "receiver_id", number: 17},
	{file: "send_receiver_array", code: schemas.CodeInvalidArgument, field: "receiver_id", number: 17},
	{file: "send_group_malformed", code: schemas.CodeInvalidArgument, field: "group_id", number: 17},
	{file: "send_content_missing", code: schemas.CodeInvalidArgument, field: "content", number: 17},
	{file: "send_content_empty", code: schemas.CodeInvalidArgument, field: "content", number: 17},
	{file: "send_content_null", code: schemas.CodeInvalidArgument, field: "content", number: 17},
	{file: "send_content_object", code: schemas.CodeInvalidArgument, field: "content", number: 17},
	{file: "send_content_too_long", code: schemas.CodeContentTooLong, field: "content", number: 17},
	{file: "send_number_missing", code: schemas.CodeInvalidArgument, field: "message_id_by_client"},
	{file: "send_number_zero", code: schemas.CodeInvalidArgument, field: "message_id_by_client"},
	{file: "send_number_negative", code: schemas.CodeInvalidArgument, field: "message_id_by_client"},
	{file: "send_number_text", code: schemas.CodeInvalidArgument, field: "message_id_by_client"},
	{file: "send_number_fraction", code: schemas.CodeInvalidArgument, field: "message_id_by_client"},
	{file: "send_number_too_large", code: schemas.CodeInvalidArgument, field: "message_id_by_client"},
	{file: "send_number_beyond_javascript", code: schemas.CodeInvalidArgument, field: "message_id_by_client"},
	{file: "update_number_beyond_javascript", code: schemas.CodeInvalidArgument, field: "message_id_by_client"},
	{file: "send_timestamp_beyond_javascript", code: schemas.CodeInvalidArgument, field: "timestamp", number: 17},
	{file: "delivered_timestamp_beyond_javascript", code: schemas.CodeInvalidArgument, field: "timestamp"},
	{file: "send_timestamp_negative", code: schemas.CodeInvalidArgument, field: "timestamp", number: 17},
	{file: "send_timestamp_text", code: schemas.CodeInvalidArgument, field: "timestamp", number: 17},
	{file: "send_reply_to_malformed", code: schemas.CodeInvalidArgument, field: "reply_to", number: 17},
	{file: "send_reply_to_lower_case", code: schemas.CodeInvalidArgument, field: "reply_to", number: 17},

	{file: "update_no_target", code: schemas.CodeInvalidArgument, field: "target_message_id", number: 17},
	{file: "update_target_malformed", code: schemas.CodeInvalidArgument, field: "target_message_id", number: 17},
	{file: "update_no_change", code: schemas.CodeInvalidArgument, field: "change", number: 17},
	{file: "update_change_unknown", code: schemas.CodeInvalidArgument, field: "change", number: 17},
	{file: "update_edit_empty", code: schemas.CodeInvalidArgument, field: "content", number: 17},
	{file: "update_edit_too_long", code: schemas.CodeContentTooLong, field: "content", number: 17},
	{file: "update_delete_with_content", code: schemas.CodeInvalidArgument, field: "content", number: 17},
	{file: "update_reaction_too_long", code: schemas.CodeInvalidArgument, field: "content", number: 17},
	{file: "update_no_receiver", code: schemas.CodeInvalidArgument, field: "receiver_id", number: 17},
	{file: "update_two_receivers", code: schemas.CodeInvalidArgument, field: "group_id", number: 17},
	{file: "update_number_missing", code: schemas.CodeInvalidArgument, field: "message_id_by_client"},
	{file: "update_timestamp_negative", code: schemas.CodeInvalidArgument, field: "timestamp", number: 17},

	{file: "delivered_no_message", code: schemas.CodeInvalidArgument, field: "message_id"},
	{file: "delivered_timestamp_negative", code: schemas.CodeInvalidArgument, field: "timestamp"},
	{file: "ack_no_cursor", code: schemas.CodeInvalidArgument, field: "cursor"},
	{file: "ack_cursor_empty", code: schemas.CodeInvalidArgument, field: "cursor"},
	{file: "ack_cursor_number", code: schemas.CodeInvalidArgument, field: "cursor"},
	{file: "read_malformed", code: schemas.CodeInvalidArgument, field: "message_id"},
	{file: "read_sender_is_a_group", code: schemas.CodeInvalidArgument, field: "sender_id"},
	{file: "read_group_is_a_user", code: schemas.CodeInvalidArgument, field: "group_id"},
	{file: "typing_no_receiver", code: schemas.CodeInvalidArgument, field: "receiver_id"},
	{file: "presence_no_users", code: schemas.CodeInvalidArgument, field: "user_ids"},
	{file: "presence_null", code: schemas.CodeInvalidArgument, field: "user_ids"},
	{file: "presence_one_text", code: schemas.CodeInvalidArgument, field: "user_ids"},
	{file: "presence_number", code: schemas.CodeInvalidArgument, field: "user_ids"},
	{file: "presence_empty_id", code: schemas.CodeInvalidArgument, field: "user_ids"},
	{file: "presence_too_many", code: schemas.CodeInvalidArgument, field: "user_ids"},

	{file: "send_content_half_surrogate", code: schemas.CodeInvalidArgument, field: "content", number: 17,
		schemaAllows: "schemas see text after its escapes are read"},
	{file: "send_content_twice", code: schemas.CodeInvalidArgument, field: "content", number: 17,
		schemaAllows: "schemas see one value for each name"},
	{file: "send_content_capital", code: schemas.CodeInvalidArgument, field: "content", number: 17,
		schemaAllows: "schemas do not see that an unknown name resembles a known one"},
	{file: "send_number_with_exponent", code: schemas.CodeInvalidArgument, field: "message_id_by_client",
		schemaAllows: "to schemas an integer is a value, however it is written"},
}

func TestInvalidFrames(t *testing.T) {
	union := schema(t, "client_frame")
	for _, tt := range invalid {
		t.Run(tt.file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", "invalid", tt.file+".json"))
			if err != nil {
				t.Fatal(err)
			}
			frame, number, e := schemas.DecodeClientFrame(data)
			if e == nil {
				t.Fatalf("accepted as %#v", frame)
			}
			if frame != nil {
				t.Errorf("a frame beside the error: %#v", frame)
			}
			if e.Code != tt.code || e.Field != tt.field || number != tt.number {
				t.Errorf("code %q field %q number %d, want %q %q %d\n%v", e.Code, e.Field, number, tt.code, tt.field, tt.number, e)
			}
			if len(e.Message) > 200 {
				t.Errorf("the message has %d bytes: %s", len(e.Message), e.Message)
			}
			if allowed := validate(union, data) == nil; allowed != (tt.schemaAllows != "") {
				t.Errorf("the schema allows it: %v, expected because: %q", allowed, tt.schemaAllows)
			}
		})
	}
}

func TestInvalidFramesAreAllInTheTable(t *testing.T) {
	listed := map[string]bool{}
	for _, tt := range invalid {
		listed[tt.file+".json"] = true
	}
	entries, err := os.ReadDir(filepath.Join("testdata", "invalid"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !listed[entry.Name()] {
			t.Errorf("%s is not in the table", entry.Name())
		}
	}
}
