package streams_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"roost/schemas"
	"roost/streams/channel"
	"roost/streams/publisher"
	"roost/streams/streamstest"
	"roost/streams/subject"
)

// exported are the fields that a line of each kind may have. What is added here is the
// user's own, or was shown to them before: nothing says what others keep to themselves,
// such as a block.
var exported = map[schemas.ExportKind]string{
	"account":        "account.user_id account.created_at",
	"settings":       "settings.history_storage settings.history_since settings.last_seen settings.read_receipts settings.timers[].user_id settings.timers[].disappearing_days settings.timers[].chosen",
	"device":         "device.device_id device.name device.created_at device.last_active",
	"removed_device": "device_id",
	"last_active":    "last_active",
	"session":        "device_id session.session_id session.gateway session.connected_at session.ended_at session.receipts_from",
	"receipt":        "receipt.sender_id receipt.group_id receipt.reader_id receipt.delivered_up_to receipt.read_up_to",
	"read_mark":      "read_mark.chat read_mark.read_up_to",
	"blocks":         "blocks.user_ids[]",
	"membership":     "chat membership.spans[].from membership.spans[].to role",
	"request":        "request.route request.key_hash request.request_hash request.id",
	"sent":           "device_id sent.message_id_by_client sent.message_id sent.content_hash sent.highest_message_id_by_client sent.expires_at",
	"waiting": "device_id entry.type entry.message_id entry.timestamp entry.sender_id entry.receiver_id entry.content entry.reply_to entry.sender_device_id " +
		"entry.message_id_by_client entry.expires_at entry.group_id entry.change entry.by_user_id entry.user_id entry.role entry.group_name " +
		"entry.history_storage entry.disappearing_days entry.target_message_id", // frames, as a device is shown them
	"posted": "chat posted.message_id posted.sender_id posted.group_id posted.content posted.timestamp posted.reply_to posted.sender_device_id " +
		"posted.message_id_by_client posted.change posted.target_message_id posted.expires_at",
	"message": "chat message.message_id message.sender_id message.receiver_id message.group_id message.content message.timestamp message.reply_to " +
		"message.sender_device_id message.message_id_by_client message.expires_at message.edited_at message.deleted " +
		"message.reactions[].user_id message.reactions[].reaction",
}

// fieldsOf adds the paths of all values in a value of JSON.
func fieldsOf(path string, v any, add func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			fieldsOf(strings.TrimPrefix(path+"."+name, "."), value, add)
		}
	case []any:
		for _, value := range v {
			fieldsOf(path+"[]", value, add)
		}
	default:
		add(path)
	}
}

// Each kind of line has the fields that are listed for it and no other, and none says
// who blocks the user or from which device others send.
func TestExportHasNothingOfOthers(t *testing.T) {
	c, ctx := connect(t, onePartition()), timeout(t)
	people(t, c, "bob")
	a := settle(t, c, "alice", "bob")
	gone := subject.Address{User: "alice", Device: addDevice(t, c, "alice").DeviceID}
	if _, _, err := c.Presence().Begin(ctx, gone, &schemas.Session{ConnectedAt: schemas.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RemoveDevice(ctx, gone); err != nil {
		t.Fatal(err)
	}
	if err := c.Directory().Block(ctx, "bob", "alice"); err != nil {
		t.Fatal(err)
	}
	blocked := schemas.SendRecord{MessageIDByClient: 2, MessageID: c.Clock().Next(), ContentHash: "x", Highest: 3, InboxFrom: 4711, BlockedBy: "bob", ExpiresAt: 5}
	recorded := make(chan publisher.Outcome, 1)
	if err := c.SendLog().Record(a, blocked, func(o publisher.Outcome) { recorded <- o }); err != nil {
		t.Fatal(err)
	}
	if o := streamstest.Receive(t, recorded); o.Err != nil {
		t.Fatal(o.Err)
	}
	group := memberOf(t, c, "alice")[0]
	own := schemas.Message{MessageID: c.Clock().Next(), SenderID: "alice", SenderDeviceID: a.Device, MessageIDByClient: 7, GroupID: group, Content: "own", Timestamp: schemas.Now()}
	stored := make(chan error, 1)
	c.Channels().Commit(channel.Send{Message: &own}, func(_ uint64, err error) { stored <- err })
	if err := streamstest.Receive(t, stored); err != nil {
		t.Fatal(err)
	}
	if err := c.Receipts().Advance(ctx, "alice", "bob", schemas.Watermark{ReadUpTo: c.Clock().Next()}); err != nil {
		t.Fatal(err)
	}
	const device = "01K73S8AC0DEV1CEDEV1CEDEV1"
	mine, theirs := own, schemas.Message{MessageID: c.Clock().Next(), SenderID: "bob", SenderDeviceID: device, MessageIDByClient: 9, ReceiverID: "alice",
		Content: "of bob", Timestamp: schemas.Now(), ReplyTo: own.MessageID, ExpiresAt: schemas.Now() + 1000}
	history := pages(c, map[string]int{"bob": 0})
	history.page = func(context.Context, schemas.HistoryRequest) (schemas.HistoryReply, error) {
		return schemas.HistoryReply{Messages: []schemas.MessageState{{Message: mine}, {Message: theirs, EditedAt: 1, Deleted: true,
			Reactions: []schemas.Reaction{{UserID: "bob", Reaction: "+"}}}}}, nil
	}
	stop, err := c.ServeHistory(history)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()

	export := func(each func(schemas.ExportLine, string)) {
		t.Helper()
		if err := c.Export(ctx, "alice", func(l schemas.ExportLine) error {
			each(l, string(schemas.Encode(l)))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	kinds := make(map[schemas.ExportKind]bool)
	export(func(l schemas.ExportLine, text string) {
		kinds[l.Kind] = true
		var v map[string]any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		delete(v, "kind")
		allowed := strings.Fields(exported[l.Kind])
		fieldsOf("", v, func(path string) {
			if !slices.Contains(allowed, path) {
				t.Errorf("a line of kind %s has %s", l.Kind, path)
			}
		})
		if strings.Contains(text, device) || strings.Contains(text, "4711") {
			t.Errorf("not alice's to know: %s", text)
		}
		if l.Kind == schemas.ExportMessage && l.Message.SenderID == "alice" && l.Message.SenderDeviceID != a.Device {
			t.Errorf("her own device is missing: %s", text)
		}
	})
	for kind := range exported {
		if !kinds[kind] {
			t.Errorf("the test has no line of kind %s", kind)
		}
	}
	// Who shows nobody what they read is shown nobody's.
	read := func() (up int) {
		export(func(l schemas.ExportLine, _ string) {
			if l.Kind == schemas.ExportReceipt && l.Receipt.ReaderID == "bob" && l.Receipt.ReadUpTo != "" {
				up++
			}
		})
		return up
	}
	if n := read(); n != 1 {
		t.Errorf("%d receipts say what bob read", n)
	}
	if _, err := c.Directory().ChangeSettings(ctx, "alice", func(s schemas.Settings) schemas.Settings {
		s.ReadReceipts = false
		return s
	}); err != nil {
		t.Fatal(err)
	}
	if n := read(); n != 0 {
		t.Errorf("%d receipts say what bob read", n)
	}
}
