package schemas_test

import (
	"bytes"
	"encoding/json"
	"strings"

	"roost/schemas"
)

// Fixed values that the examples are made of.
const (
	device  schemas.DeviceID  = "01K73S8AC0DEV1CEDEV1CEDEV1"
	removed schemas.DeviceID  = "01K73S8AC0DEV1CEDEV1CEDEV0"
	session schemas.SessionID = "01K742SG00SESS10NSESS10NSE"
	group   schemas.GroupID   = "g-01K73S8AC0GR0VPGR0VPGR0VPG"
	first   schemas.MessageID = "01K742SG00MESSAGEMESSAGE01"
	second  schemas.MessageID = "01K742SGZ8MESSAGEMESSAGE02"
	now     schemas.Timestamp = 1760000000000
	cursor  schemas.Cursor    = "4711"
)

var direct = schemas.Message{
	MessageID: second, SenderID: "alice", ReceiverID: "bob", Content: "Grüße <b>&</b> \"你好\" 👋\n", Timestamp: now,
	ReplyTo: first, SenderDeviceID: device, MessageIDByClient: 17,
}

var toGroup = schemas.Message{MessageID: first, SenderID: "alice", GroupID: group, Content: "hello, all", Timestamp: now}

// example is a fixed value, its golden file below testdata/golden, its schema,
// and how the package writes and reads it.
type example struct {
	golden string // the schema's name, and behind a dot which of several examples
	value  any
	encode func() []byte
	decode func([]byte) (any, error)
}

func (e example) schema() string {
	name, _, _ := strings.Cut(e.golden, ".")
	return name
}

func clientFrame(golden string, f schemas.ClientFrame) example {
	return example{"client/" + golden, f,
		func() []byte { return schemas.EncodeFrame(f) },
		func(data []byte) (any, error) {
			got, _, e := schemas.DecodeClientFrame(data)
			if e != nil {
				return nil, e
			}
			return got, nil
		}}
}

func serverFrame(golden string, f schemas.ServerFrame) example {
	return example{"server/" + golden, f,
		func() []byte { return schemas.EncodeFrame(f) },
		func(data []byte) (any, error) { return schemas.DecodeServerFrame(data) }}
}

func record[T any](golden string, v T) example {
	return example{"record/" + golden, v,
		func() []byte { return schemas.Encode(v) },
		func(data []byte) (any, error) { return schemas.Decode[T](data) }}
}

func body[T any](golden string, v T) example {
	return example{"http/" + golden, v,
		func() []byte { return schemas.Encode(v) },
		func(data []byte) (any, error) {
			var got T
			if e := schemas.DecodeBody(bytes.NewReader(data), &got); e != nil {
				return nil, e
			}
			return got, nil
		}}
}

func message(golden string, m schemas.Message, encode func() []byte) example {
	return example{"record/" + golden, m, encode,
		func(data []byte) (any, error) { return schemas.DecodeMessage(data) }}
}

func ptr[T any](v T) *T { return &v }

// catalog has at least one example of every frame, record and HTTP body.
var catalog = []example{
	clientFrame("hello", &schemas.Hello{Token: "header.claims.signature", DeviceID: device, ResumeAfter: cursor}),
	clientFrame("hello.register", &schemas.Hello{DeviceName: "Alice's phone"}),
	clientFrame("send_message", &schemas.SendMessage{ReceiverID: "bob", Content: direct.Content, MessageIDByClient: 17, Timestamp: now, ReplyTo: first}),
	clientFrame("send_message.group", &schemas.SendMessage{GroupID: group, Content: "hello, all", MessageIDByClient: 18, Timestamp: now}),
	clientFrame("message_delivered", &schemas.DeliveredAck{MessageID: second, Timestamp: now}),
	clientFrame("ack", &schemas.Ack{Cursor: cursor}),
	clientFrame("message_read", &schemas.Read{MessageID: second}),
	clientFrame("message_read.sender", &schemas.Read{MessageID: second, SenderID: "alice"}),
	clientFrame("message_read.group", &schemas.Read{MessageID: second, SenderID: "alice", GroupID: group}),
	clientFrame("typing", &schemas.TypingNotice{ReceiverID: "bob"}),
	clientFrame("typing.group", &schemas.TypingNotice{GroupID: group}),
	clientFrame("presence_subscribe", &schemas.PresenceSubscribe{UserIDs: []schemas.UserID{"bob", "carol@example.org"}}),
	clientFrame("presence_subscribe.nobody", &schemas.PresenceSubscribe{UserIDs: []schemas.UserID{}}),
	clientFrame("heartbeat", &schemas.Heartbeat{}),

	serverFrame("welcome", &schemas.Welcome{UserID: "alice", DeviceID: device, SessionID: session, ServerTime: now, HeartbeatMS: 30000,
		MaxInFlight: schemas.MaxInFlight, MaxOutstandingSends: schemas.MaxOutstanding, LastMessageIDByClient: 17}),
	serverFrame("welcome.first", &schemas.Welcome{UserID: "alice", DeviceID: device, SessionID: session, ServerTime: now, HeartbeatMS: 30000,
		MaxInFlight: schemas.MaxInFlight, MaxOutstandingSends: schemas.MaxOutstanding}),
	serverFrame("message_received", &schemas.MessageReceived{MessageID: second, MessageIDByClient: 17, Timestamp: now}),
	serverFrame("incoming_message", &schemas.Incoming{Message: direct, Cursor: cursor}),
	serverFrame("incoming_message.group", &schemas.Incoming{Message: toGroup, Cursor: cursor}),
	serverFrame("inbox_drained", &schemas.InboxDrained{Cursor: cursor}),
	serverFrame("message_delivered", &schemas.Delivered{MessageID: second, UserID: "bob", Timestamp: now}),
	serverFrame("message_read", &schemas.ReadBy{MessageID: second, UserID: "bob", Timestamp: now}),
	serverFrame("receipts", &schemas.Receipts{Items: []schemas.ReceiptItem{
		{Chat: "bob", UserID: "bob", DeliveredUpTo: second, ReadUpTo: first},
		{Chat: string(group), UserID: "carol", DeliveredUpTo: second}}}),
	serverFrame("presence", &schemas.Presence{UserID: "bob", Online: true, LastActiveTime: now}),
	serverFrame("presence.hidden", &schemas.Presence{UserID: "bob"}),
	serverFrame("typing", &schemas.Typing{UserID: "bob"}),
	serverFrame("typing.group", &schemas.Typing{UserID: "bob", GroupID: group}),
	serverFrame("group_update", &schemas.GroupUpdate{GroupID: group, Change: "added", ByUserID: "alice", UserID: "bob", Timestamp: now, Cursor: cursor}),
	serverFrame("group_update.renamed", &schemas.GroupUpdate{GroupID: group, Change: "renamed", ByUserID: "alice", GroupName: "friends", Timestamp: now, Cursor: cursor}),
	serverFrame("error", &schemas.ErrorFrame{Code: schemas.CodeUnavailable, Message: "Not stored in time. Send the same message_id_by_client again.", MessageIDByClient: 17, RetryAfterMS: 1000}),
	serverFrame("error.frame", &schemas.ErrorFrame{Code: schemas.CodeBadFrame, Message: "Not valid JSON: unexpected end of JSON input."}),
	serverFrame("reconnect", &schemas.Reconnect{AfterMS: 1234}),

	message("message", direct, direct.Encode),
	message("message.group", toGroup, toGroup.Encode),
	message("inbox_entry", direct, direct.StoredMessage),
	record("sent_record", schemas.SentRecord{MessageIDByClient: 17, MessageID: second,
		ContentHash: (&schemas.SendMessage{ReceiverID: "bob", Content: direct.Content, ReplyTo: first}).Hash()}),
	record("sent_record.blocked", schemas.SentRecord{MessageIDByClient: 16, MessageID: first, Highest: 17, BlockedBy: "bob",
		ContentHash: (&schemas.SendMessage{ReceiverID: "bob", Content: direct.Content}).Hash()}),
	record("account", schemas.Account{UserID: "alice", PasswordHash: "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", CreatedAt: now}),
	record("account.external", schemas.Account{UserID: "carol@example.org", CreatedAt: now}),
	record("device", schemas.Device{DeviceID: device, Name: "Alice's phone", CreatedAt: now, LastActive: now, Unclaimed: true}),
	record("devices", schemas.Devices{Devices: []schemas.Device{{DeviceID: device, Name: "Alice's phone", CreatedAt: now}}, Removed: []schemas.DeviceID{removed}}),
	record("devices.none", schemas.Devices{}),
	record("settings", schemas.Settings{HistoryStorage: schemas.HistoryDays, HistorySince: now, LastSeen: schemas.LastSeenNobody}),
	record("settings.default", schemas.DefaultSettings()),
	record("blocks", schemas.Blocks{UserIDs: []schemas.UserID{"bob", "carol@example.org"}}),
	record("blocks.none", schemas.Blocks{UserIDs: []schemas.UserID{}}),
	record("session", schemas.Session{SessionID: session, Gateway: "gateway-1", ConnectedAt: now}),
	record("session.ended", schemas.Session{SessionID: session, ConnectedAt: now, EndedAt: now + 1000}),
	record("gateway_lease", schemas.GatewayLease{Gateway: "gateway-1", StartedAt: now, Address: "10.0.0.7:8080"}),
	record("watermark", schemas.Watermark{DeliveredUpTo: second, ReadUpTo: first}),
	record("session_event", schemas.SessionEvent{UserID: "alice", DeviceID: device, SessionID: session, Gateway: "gateway-1", Online: true, Timestamp: now}),
	record("history_request", schemas.HistoryRequest{UserID: "alice", Chat: "bob", UpTo: now}),
	record("history_reply", schemas.HistoryReply{Messages: []schemas.Message{direct, toGroup}}),
	record("history_reply.none", schemas.HistoryReply{}),

	body("answer", schemas.Answer{Status: schemas.StatusSuccess, Data: json.RawMessage(`{"user_id":"alice","created_at":1760000000000}`)}),
	body("answer.empty", schemas.Answer{Status: schemas.StatusSuccess}),
	body("answer.failed", schemas.Answer{Status: schemas.StatusFailed, Error: &schemas.AnswerError{Code: schemas.CodeNotFound, Message: "There is no user \"bob\"."}}),
	body("answer_error", schemas.AnswerError{Code: schemas.CodeRateLimited, Message: "Too many attempts.", RetryAfterMS: 2000}),
	body("credentials", schemas.Credentials{UserID: "alice", Password: "correct horse"}),
	body("account_created", schemas.AccountCreated{UserID: "alice", CreatedAt: now}),
	body("token", schemas.Token{Token: "header.claims.signature", ExpiresAt: now + 3600_000}),
	body("new_device", schemas.NewDevice{Name: "Alice's phone"}),
	body("device_info", schemas.Device{DeviceID: device, Name: "Alice's phone", CreatedAt: now, LastActive: now, Unclaimed: true}.Info()),
	body("settings_change", schemas.SettingsChange{HistoryStorage: ptr(schemas.HistoryDays), LastSeen: ptr(schemas.LastSeenNobody), ReadReceipts: ptr(false)}),
	body("settings_change.one", schemas.SettingsChange{ReadReceipts: ptr(true)}),
	body("user_settings", schemas.DefaultSettings().Public()),
	body("block_list", schemas.BlockList{UserIDs: []schemas.UserID{"bob", "carol@example.org"}}),
	body("block_list.none", schemas.BlockList{UserIDs: []schemas.UserID{}}),
	body("history_message", direct.History()),
	body("user_status", schemas.UserStatus{LastActiveTime: now, ConnectionState: "online 5 minutes ago"}),
	body("user_status.hidden", schemas.UserStatus{ConnectionState: "offline"}),
	body("readiness", schemas.Readiness{Missing: map[string]string{"streams": "no leader"}, Degraded: map[string]string{"history": "no answer from the store"}}),
	body("readiness.ready", schemas.Readiness{Ready: true}),
}
