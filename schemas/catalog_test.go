package schemas_test

import (
	"bytes"
	"encoding/json"
	"strings"

	"roost/schemas"
)

// The fixed values of the examples.
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

var edit = schemas.Message{
	MessageID: second, SenderID: "alice", ReceiverID: "bob", Content: "hello again", Timestamp: now,
	SenderDeviceID: device, MessageIDByClient: 18, Change: schemas.ChangeEdit, TargetMessageID: first, ExpiresAt: now + 1000,
}

var deletion = schemas.Message{MessageID: second, SenderID: "alice", GroupID: group, Timestamp: now,
	Change: schemas.ChangeDelete, TargetMessageID: first}

var edited = schemas.MessageState{Message: toGroup, EditedAt: now, Reactions: []schemas.Reaction{{UserID: "bob", Reaction: "👍"}}}

var timerChange = schemas.ChatChange{MessageID: second, ByUserID: "alice", UserID: "bob", DisappearingDays: 7, Timestamp: now}

var bobDeleted = schemas.UserDeletion{MessageID: second, UserID: "bob", Timestamp: now}

var toGroup = schemas.Message{MessageID: first, SenderID: "alice", GroupID: group, Content: "hello, all", Timestamp: now}

var alice = schemas.Member{UserID: "alice", Role: schemas.RoleOwner, Since: first}

var bobAdded = schemas.GroupChange{MessageID: second, GroupID: group, Change: schemas.GroupAdded, ByUserID: "alice", UserID: "bob",
	Role: schemas.RoleMember, GroupName: "friends", Timestamp: now}

var friends = schemas.Group{GroupID: group, GroupName: "friends", CreatedAt: now, Members: []schemas.Member{alice}, Changed: first}

var newFriends = func() schemas.Request {
	q := schemas.NewRequest("POST /groups", "6f1c", "/groups", schemas.NewGroup{GroupName: "friends"})
	q.ID = first
	return q
}()

// example is a fixed value with its golden file below testdata/golden, its schema, and the
// functions that encode and decode it.
type example struct {
	golden string // the name of the schema, and after a dot that of the example
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
	clientFrame("send_message.no_timestamp", &schemas.SendMessage{GroupID: group, Content: "hello, all", MessageIDByClient: 18}),
	clientFrame("update_message", &schemas.UpdateMessage{ReceiverID: "bob", TargetMessageID: first, Change: schemas.ChangeEdit, Content: "hello again",
		MessageIDByClient: 18, Timestamp: now}),
	clientFrame("update_message.delete", &schemas.UpdateMessage{GroupID: group, TargetMessageID: first, Change: schemas.ChangeDelete,
		MessageIDByClient: 18, Timestamp: now}),
	clientFrame("update_message.reaction", &schemas.UpdateMessage{ReceiverID: "bob", TargetMessageID: first, Change: schemas.ChangeReaction, Content: "👍",
		MessageIDByClient: 18, Timestamp: now}),
	clientFrame("update_message.no_timestamp", &schemas.UpdateMessage{GroupID: group, TargetMessageID: first, Change: schemas.ChangeDelete,
		MessageIDByClient: 18}),
	clientFrame("message_delivered", &schemas.DeliveredAck{MessageID: second, Timestamp: now}),
	clientFrame("message_delivered.no_timestamp", &schemas.DeliveredAck{MessageID: second}),
	clientFrame("ack", &schemas.Ack{Cursor: cursor}),
	clientFrame("message_read", &schemas.Read{MessageID: second}),
	clientFrame("message_read.sender", &schemas.Read{MessageID: second, SenderID: "alice"}),
	clientFrame("message_read.group", &schemas.Read{MessageID: second, SenderID: "alice", GroupID: group}),
	clientFrame("typing", &schemas.TypingNotice{ReceiverID: "bob"}),
	clientFrame("typing.group", &schemas.TypingNotice{GroupID: group}),
	clientFrame("presence_subscribe", &schemas.PresenceSubscribe{UserIDs: []schemas.UserID{"bob", "carol@example.org"}}),
	clientFrame("presence_subscribe.empty", &schemas.PresenceSubscribe{UserIDs: []schemas.UserID{}}),
	clientFrame("presence_subscribe.add", &schemas.PresenceSubscribe{UserIDs: []schemas.UserID{"dora"}, Add: true}),
	clientFrame("heartbeat", &schemas.Heartbeat{}),

	serverFrame("welcome", &schemas.Welcome{UserID: "alice", DeviceID: device, SessionID: session, ServerTime: now, HeartbeatMS: 30000,
		MaxInFlight: schemas.MaxInFlight, MaxOutstandingSends: schemas.MaxOutstanding, LastMessageIDByClient: 17}),
	serverFrame("welcome.first", &schemas.Welcome{UserID: "alice", DeviceID: device, SessionID: session, ServerTime: now, HeartbeatMS: 30000,
		MaxInFlight: schemas.MaxInFlight, MaxOutstandingSends: schemas.MaxOutstanding}),
	serverFrame("message_received", &schemas.MessageReceived{MessageID: second, MessageIDByClient: 17, Timestamp: now}),
	serverFrame("message_received.disappearing", &schemas.MessageReceived{MessageID: second, MessageIDByClient: 17, Timestamp: now, ExpiresAt: schemas.ExpiresAt(now, 7)}),
	serverFrame("incoming_message", &schemas.Incoming{Message: direct, Cursor: cursor}),
	serverFrame("incoming_message.group", &schemas.Incoming{Message: toGroup, Cursor: cursor}),
	serverFrame("incoming_message.disappearing", &schemas.Incoming{Message: schemas.Message{MessageID: first, SenderID: "alice", ReceiverID: "bob",
		Content: "hello", Timestamp: now, ExpiresAt: schemas.ExpiresAt(now, 7)}, Cursor: cursor}),
	serverFrame("message_update", &schemas.MessageUpdate{Incoming: schemas.Incoming{Message: edit, Cursor: cursor}}),
	serverFrame("message_update.delete", &schemas.MessageUpdate{Incoming: schemas.Incoming{Message: deletion, Cursor: cursor}}),
	serverFrame("inbox_drained", &schemas.InboxDrained{Cursor: cursor}),
	serverFrame("message_delivered", &schemas.Delivered{MessageID: second, UserID: "bob", Timestamp: now}),
	serverFrame("message_read", &schemas.ReadBy{MessageID: second, UserID: "bob", Timestamp: now}),
	serverFrame("message_delivered.group", &schemas.Delivered{MessageID: second, UserID: "bob", GroupID: group, Timestamp: now}),
	serverFrame("message_read.group", &schemas.ReadBy{MessageID: second, UserID: "bob", GroupID: group, Timestamp: now}),
	serverFrame("receipts", &schemas.Receipts{Items: []schemas.ReceiptItem{
		{Chat: "bob", UserID: "bob", DeliveredUpTo: second, ReadUpTo: first},
		{Chat: string(group), UserID: "carol", DeliveredUpTo: second}}}),
	serverFrame("receipts.own", &schemas.Receipts{Items: []schemas.ReceiptItem{{Chat: "bob", UserID: "alice", ReadUpTo: second}}}),
	serverFrame("presence", &schemas.Presence{UserID: "bob", Online: true, LastActiveTime: now}),
	serverFrame("presence.hidden", &schemas.Presence{UserID: "bob"}),
	serverFrame("typing", &schemas.Typing{UserID: "bob"}),
	serverFrame("typing.group", &schemas.Typing{UserID: "bob", GroupID: group}),
	serverFrame("group_update", &schemas.GroupUpdate{GroupChange: bobAdded, Cursor: cursor}),
	serverFrame("group_update.renamed", &schemas.GroupUpdate{GroupChange: schemas.GroupChange{MessageID: second, GroupID: group,
		Change: schemas.GroupRenamed, ByUserID: "alice", GroupName: "friends", HistoryStorage: schemas.HistoryDays, Timestamp: now}, Cursor: cursor}),
	serverFrame("group_update.disappearing", &schemas.GroupUpdate{GroupChange: schemas.GroupChange{MessageID: second, GroupID: group,
		Change: schemas.GroupDisappearing, ByUserID: "alice", GroupName: "friends", DisappearingDays: 7, Timestamp: now}, Cursor: cursor}),
	serverFrame("chat_update", &schemas.ChatUpdate{ChatChange: timerChange, Cursor: cursor}),
	serverFrame("user_deleted", &schemas.UserDeleted{UserDeletion: bobDeleted, Cursor: cursor}),
	serverFrame("wake_up", &schemas.WakeUp{GroupID: group, MessageID: second}),
	serverFrame("heartbeat", &schemas.Alive{}),
	serverFrame("error", &schemas.ErrorFrame{Code: schemas.CodeUnavailable, Message: "Not stored in time. Send the same message_id_by_client again.", MessageIDByClient: 17, RetryAfterMS: 1000}),
	serverFrame("error.frame", &schemas.ErrorFrame{Code: schemas.CodeBadFrame, Message: "Not valid JSON: unexpected end of JSON input."}),
	serverFrame("reconnect", &schemas.Reconnect{AfterMS: 1234}),

	message("message", direct, direct.Encode),
	message("message.group", toGroup, toGroup.Encode),
	message("message.edit", edit, edit.Encode),
	message("message.delete", deletion, deletion.Encode),
	message("inbox_entry", direct, direct.StoredMessage),
	message("inbox_message_update", edit, edit.StoredMessage),
	record("message_state", edited),
	record("message_state.deleted", schemas.MessageState{Message: schemas.Message{MessageID: first, SenderID: "alice", GroupID: group, Timestamp: now}, Deleted: true}),
	record("reaction", edited.Reactions[0]),
	record("chat_change", timerChange),
	{"record/inbox_chat_update", timerChange, timerChange.StoredUpdate, func(data []byte) (any, error) { return schemas.Decode[schemas.ChatChange](data) }},
	record("user_deletion", bobDeleted),
	{"record/inbox_user_deleted", bobDeleted, bobDeleted.StoredUpdate, func(data []byte) (any, error) { return schemas.Decode[schemas.UserDeletion](data) }},
	record("chat_timer", schemas.ChatTimer{UserID: "bob", DisappearingDays: 7, Chosen: second}),
	record("send_record", schemas.SendRecord{MessageIDByClient: 17, MessageID: second,
		ContentHash: (&schemas.Message{ReceiverID: "bob", Content: direct.Content, ReplyTo: first}).Hash()}),
	record("send_record.after_copies", schemas.SendRecord{MessageIDByClient: 17, MessageID: second,
		ContentHash: (&schemas.Message{ReceiverID: "bob", Content: direct.Content, ReplyTo: first}).Hash(), InboxFrom: 4711}),
	record("send_record.blocked", schemas.SendRecord{MessageIDByClient: 16, MessageID: first, Highest: 17, BlockedBy: "bob",
		ContentHash: (&schemas.Message{ReceiverID: "bob", Content: direct.Content}).Hash()}),
	record("send_record.expiring", schemas.SendRecord{MessageIDByClient: 17, MessageID: second, ExpiresAt: now,
		ContentHash: (&schemas.Message{ReceiverID: "bob", Content: direct.Content}).Hash()}),
	record("account", schemas.Account{UserID: "alice", PasswordHash: "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", CreatedAt: now}),
	record("account.external", schemas.Account{UserID: "carol@example.org", CreatedAt: now}),
	record("device", schemas.Device{DeviceID: device, Name: "Alice's phone", CreatedAt: now, LastActive: now, Unclaimed: true}),
	record("devices", schemas.Devices{Devices: []schemas.Device{{DeviceID: device, Name: "Alice's phone", CreatedAt: now}}, Removed: []schemas.DeviceID{removed}, LastActive: now}),
	record("devices.none", schemas.Devices{}),
	record("devices.deleted", schemas.Devices{Removed: []schemas.DeviceID{device}, DeletedAt: now, Erased: true, ReservedUntil: now + 1000, Notice: second}),
	record("devices.reused_name", schemas.Devices{Devices: []schemas.Device{{DeviceID: device, Name: "Alice's phone", CreatedAt: now}}, TokensAfter: now}),
	record("settings", schemas.Settings{HistoryStorage: schemas.HistoryDays, HistorySince: now, LastSeen: schemas.LastSeenNobody}),
	record("settings.timers", schemas.Settings{LastSeen: schemas.LastSeenEveryone, Timers: []schemas.ChatTimer{{UserID: "bob", Chosen: second}}}),
	record("settings.default", schemas.DefaultSettings()),
	record("blocks", schemas.Blocks{UserIDs: []schemas.UserID{"bob", "carol@example.org"}}),
	record("blocks.none", schemas.Blocks{UserIDs: []schemas.UserID{}}),
	record("account.idempotent", schemas.Account{UserID: "alice", PasswordHash: "x", CreatedAt: now, KeyHash: schemas.AccountKey("6f1c")}),
	record("request", newFriends),
	record("request.account", schemas.Request{Route: "POST /accounts", KeyHash: schemas.AccountKey("6f1c"), ID: first}),
	record("requests", schemas.Requests{Requests: []schemas.Request{newFriends}}),
	record("session", schemas.Session{SessionID: session, Gateway: "gateway-1", ConnectedAt: now, ReceiptsFrom: now - 10_000}),
	record("session.ended", schemas.Session{SessionID: session, ConnectedAt: now, EndedAt: now + 1000}),
	record("gateway_lease", schemas.GatewayLease{Gateway: "gateway-1", StartedAt: now, Address: "10.0.0.7:8080", RemovalBehind: true}),
	record("watermark", schemas.Watermark{DeliveredUpTo: second, ReadUpTo: first}),
	record("session_event", schemas.SessionEvent{UserID: "alice", DeviceID: device, SessionID: session, Gateway: "gateway-1", Online: true, Timestamp: now}),
	record("history_request", schemas.HistoryRequest{UserID: "alice", Chat: "bob", UpTo: now}),
	record("history_request.before", schemas.HistoryRequest{UserID: "alice", Chat: "bob", Before: second}),
	record("chats_request", schemas.ChatsRequest{UserID: "alice", After: "bob"}),
	record("chats_reply", schemas.ChatsReply{Chats: []string{"carol@example.org", string(group)}}),
	record("chats_reply.none", schemas.ChatsReply{}),
	record("history_reply", schemas.HistoryReply{Messages: []schemas.MessageState{{Message: direct}, edited}}),
	record("history_reply.none", schemas.HistoryReply{}),
	record("history_request.whole", schemas.HistoryRequest{UserID: "alice", Chat: string(group), Whole: true}),
	record("group", schemas.Group{GroupID: group, GroupName: "friends", CreatedAt: now, HistoryStorage: schemas.HistoryDays, HistorySince: now,
		Members: []schemas.Member{alice, {UserID: "bob", Role: schemas.RoleMember, Since: second}}, Changed: second,
		Pending: &schemas.PendingChange{Updates: []schemas.GroupChange{bobAdded}}}),
	record("group.disappearing", schemas.Group{GroupID: group, GroupName: "friends", CreatedAt: now, DisappearingDays: 90,
		Members: []schemas.Member{alice}, Changed: second}),
	record("group.deleted", schemas.Group{GroupID: group, GroupName: "friends", CreatedAt: now, Changed: second,
		Pending: &schemas.PendingChange{Gone: []schemas.Member{alice}, Updates: []schemas.GroupChange{{MessageID: second, GroupID: group,
			Change: schemas.GroupLeft, ByUserID: "alice", UserID: "alice", GroupName: "friends", Timestamp: now}}}}),
	record("group_change", bobAdded),
	{"record/inbox_update", bobAdded, bobAdded.StoredUpdate, func(data []byte) (any, error) { return schemas.Decode[schemas.GroupChange](data) }},
	record("pending_change", schemas.PendingChange{Updates: []schemas.GroupChange{bobAdded}}),
	record("member", alice),
	record("membership", schemas.Membership{Spans: []schemas.Span{{From: first, To: second}, {From: second}}}),
	record("span", schemas.Span{From: first, To: second}),

	body("answer", schemas.Answer{Status: schemas.StatusSuccess, Data: json.RawMessage(`{"user_id":"alice","created_at":1760000000000}`)}),
	body("answer.empty", schemas.Answer{Status: schemas.StatusSuccess}),
	body("answer.failed", schemas.Answer{Status: schemas.StatusFailed, Error: &schemas.AnswerError{Code: schemas.CodeNotFound, Message: "There is no user \"bob\"."}}),
	body("answer_error", schemas.AnswerError{Code: schemas.CodeRateLimited, Message: "Too many attempts.", RetryAfterMS: 2000}),
	body("credentials", schemas.Credentials{UserID: "alice", Password: "correct horse"}),
	body("login", schemas.Login{UserID: "alice", Password: "horse"}),
	body("account_created", schemas.AccountCreated{UserID: "alice", CreatedAt: now}),
	body("account_deletion", schemas.AccountDeletion{Password: "correct horse"}),
	body("account_deleted", schemas.AccountDeleted{UserID: "alice", DeletedAt: now, Kept: []schemas.Kept{
		{Where: schemas.KeptInHistory, What: "Messages that you sent to users who keep history."}}}),
	body("receipt", schemas.Receipt{SenderID: "alice", ReaderID: "bob", DeliveredUpTo: second, ReadUpTo: first}),
	body("receipt.group", schemas.Receipt{GroupID: group, ReaderID: "bob", DeliveredUpTo: second}),
	body("sent", schemas.SendRecord{MessageIDByClient: 16, MessageID: first, Highest: 17, BlockedBy: "bob", InboxFrom: 4711, ExpiresAt: now,
		ContentHash: (&schemas.Message{ReceiverID: "bob", Content: direct.Content}).Hash()}.Public()),
	body("read_mark", schemas.ReadMark{Chat: "bob", ReadUpTo: second}),
	body("read_marks", schemas.ReadMarks{Items: []schemas.ReadMark{{Chat: string(group), ReadUpTo: first}, {Chat: "bob", ReadUpTo: second}}, Next: "6f"}),
	body("read_marks.none", schemas.ReadMarks{Items: []schemas.ReadMark{}}),
	body("export_line", schemas.ExportLine{Kind: schemas.ExportMessage, Chat: "bob", Message: &schemas.MessageState{Message: direct}}),
	body("export_line.account", schemas.ExportLine{Kind: schemas.ExportAccount, Account: &schemas.AccountCreated{UserID: "alice", CreatedAt: now}}),
	body("export_line.settings", schemas.ExportLine{Kind: schemas.ExportSettings, Settings: ptr(schemas.DefaultSettings())}),
	body("export_line.device", schemas.ExportLine{Kind: schemas.ExportDevice, Device: &schemas.DeviceInfo{DeviceID: device, Name: "Alice's phone", CreatedAt: now}}),
	body("export_line.removed_device", schemas.ExportLine{Kind: schemas.ExportRemovedDevice, DeviceID: removed}),
	body("export_line.last_active", schemas.ExportLine{Kind: schemas.ExportLastActive, LastActive: now}),
	body("export_line.session", schemas.ExportLine{Kind: schemas.ExportSession, DeviceID: device, Session: &schemas.Session{SessionID: session, ConnectedAt: now, EndedAt: now + 1}}),
	body("export_line.receipt", schemas.ExportLine{Kind: schemas.ExportReceipt, Receipt: &schemas.Receipt{SenderID: "alice", ReaderID: "bob", DeliveredUpTo: second}}),
	body("export_line.read_mark", schemas.ExportLine{Kind: schemas.ExportReadMark, ReadMark: &schemas.ReadMark{Chat: "bob", ReadUpTo: second}}),
	body("export_line.blocks", schemas.ExportLine{Kind: schemas.ExportBlocks, Blocks: &schemas.Blocks{UserIDs: []schemas.UserID{"bob"}}}),
	body("export_line.membership", schemas.ExportLine{Kind: schemas.ExportMembership, Chat: string(group),
		Membership: &schemas.Membership{Spans: []schemas.Span{{From: first}}}, Role: schemas.RoleAdmin}),
	body("export_line.request", schemas.ExportLine{Kind: schemas.ExportRequest, Request: &newFriends}),
	body("export_line.sent", schemas.ExportLine{Kind: schemas.ExportSent, DeviceID: device, Sent: &schemas.Sent{MessageIDByClient: 17, MessageID: second,
		ContentHash: (&schemas.Message{ReceiverID: "bob", Content: "hello"}).Hash()}}),
	body("export_line.waiting", schemas.ExportLine{Kind: schemas.ExportWaiting, DeviceID: device, Entry: toGroup.StoredMessage()}),
	body("export_line.posted", schemas.ExportLine{Kind: schemas.ExportPosted, Chat: string(group), Posted: &toGroup}),
	body("export_line.end", schemas.ExportLine{Kind: schemas.ExportEnd, Items: ptr(int64(8))}),
	body("export_line.error", schemas.ExportLine{Kind: schemas.ExportFailed, Error: &schemas.AnswerError{Code: schemas.CodeUnavailable, Message: "No history worker answered in time."}}),
	body("token", schemas.Token{Token: "header.claims.signature", ExpiresAt: now + 3600_000}),
	body("new_device", schemas.NewDevice{Name: "Alice's phone"}),
	body("device_info", schemas.Device{DeviceID: device, Name: "Alice's phone", CreatedAt: now, LastActive: now, Unclaimed: true}.Info()),
	body("settings_change", schemas.SettingsChange{HistoryStorage: ptr(schemas.HistoryDays), LastSeen: ptr(schemas.LastSeenNobody), ReadReceipts: ptr(false)}),
	body("settings_change.one", schemas.SettingsChange{ReadReceipts: ptr(true)}),
	body("user_settings", schemas.DefaultSettings().Public()),
	body("block_list", schemas.BlockList{UserIDs: []schemas.UserID{"bob", "carol@example.org"}}),
	body("block_list.none", schemas.BlockList{UserIDs: []schemas.UserID{}}),
	body("history_message", ptr(schemas.MessageState{Message: direct}).History()),
	body("history_message.edited", edited.History()),
	body("chat_settings", schemas.ChatSettings{DisappearingDays: ptr(7)}),
	body("new_group", schemas.NewGroup{GroupName: "friends", Members: []schemas.UserID{"bob"}, HistoryStorage: schemas.HistoryDays, DisappearingDays: 7}),
	body("new_group.no_members", schemas.NewGroup{GroupName: "friends"}),
	body("group_patch", schemas.GroupPatch{GroupName: ptr("friends"), HistoryStorage: ptr(0), DisappearingDays: ptr(1)}),
	body("new_member", schemas.NewMember{UserID: "bob", Role: schemas.RoleAdmin}),
	body("role_change", schemas.RoleChange{Role: schemas.RoleAdmin}),
	body("group_info", friends.Info()),
	body("group_member", friends.Info().Members[0]),
	body("group_receipts", schemas.GroupReceipts{MessageID: second, Members: 2, Delivered: 1, Read: 1,
		Items: []schemas.GroupReceipt{{UserID: "bob", DeliveredUpTo: second, ReadUpTo: second}, {UserID: "carol"}}}),
	body("group_receipts.empty", schemas.GroupReceipts{MessageID: second, Items: []schemas.GroupReceipt{}}),
	body("group_receipt", schemas.GroupReceipt{UserID: "bob", DeliveredUpTo: second, ReadUpTo: second}),
	body("group_summary", friends.Summary(alice)),
	body("user_status", schemas.UserStatus{LastActiveTime: now, ConnectionState: "online 5 minutes ago"}),
	body("user_status.hidden", schemas.UserStatus{ConnectionState: "offline"}),
	body("readiness", schemas.Readiness{Missing: map[string]string{"streams": "no leader"}, Degraded: map[string]string{"history": "no answer from the store"}}),
	body("readiness.ready", schemas.Readiness{Ready: true}),
}
