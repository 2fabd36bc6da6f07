package schemas

// The frames and records that the server writes for every message, without reflection. The
// bytes are the same as those of encoding/json, which writes all others.

// appended is a frame or record that encodes itself.
type appended interface {
	// size returns about how many bytes the members need. Text with escapes and very
	// large numbers need more.
	size() int
	// appendMembers appends the members, each after a comma.
	appendMembers(dst []byte) []byte
}

var (
	_ appended = (*MessageReceived)(nil)
	_ appended = (*Delivered)(nil)
	_ appended = (*Incoming)(nil)
	_ appended = (*SendMessage)(nil)
	_ appended = (*DeliveredAck)(nil)
	_ appended = (*Ack)(nil)
	_ appended = (*Message)(nil)
	_ appended = SendRecord{}
	_ appended = Watermark{}
)

func (f *MessageReceived) size() int {
	n := textRoom + 2*numberRoom + len("message_id"+"message_id_by_client"+"timestamp") + len(f.MessageID)
	if f.ExpiresAt != 0 {
		n += numberRoom + len("expires_at")
	}
	return n
}

func (f *MessageReceived) appendMembers(dst []byte) []byte {
	dst = appendText(dst, "message_id", string(f.MessageID))
	dst = appendNumber(dst, "message_id_by_client", int64(f.MessageIDByClient))
	dst = appendNumber(dst, "timestamp", int64(f.Timestamp))
	return appendOptionalNumber(dst, "expires_at", int64(f.ExpiresAt))
}

func (f *Delivered) size() int {
	return 2*textRoom + numberRoom + len("message_id"+"user_id"+"timestamp") + len(f.MessageID) + len(f.UserID) +
		optionalRoom("group_id", string(f.GroupID))
}

func (f *Delivered) appendMembers(dst []byte) []byte {
	dst = appendText(dst, "message_id", string(f.MessageID))
	dst = appendText(dst, "user_id", string(f.UserID))
	dst = appendOptionalText(dst, "group_id", string(f.GroupID))
	return appendNumber(dst, "timestamp", int64(f.Timestamp))
}

func (f *Incoming) size() int {
	return f.Message.size() + textRoom + len("cursor") + len(f.Cursor)
}

func (f *Incoming) appendMembers(dst []byte) []byte {
	return appendText(f.Message.appendMembers(dst), "cursor", string(f.Cursor))
}

func (f *SendMessage) size() int {
	return 4*textRoom + 2*numberRoom +
		len("receiver_id"+"group_id"+"content"+"message_id_by_client"+"timestamp"+"reply_to") +
		len(f.ReceiverID) + len(f.GroupID) + len(f.Content) + len(f.ReplyTo)
}

func (f *SendMessage) appendMembers(dst []byte) []byte {
	dst = appendOptionalText(dst, "receiver_id", string(f.ReceiverID))
	dst = appendOptionalText(dst, "group_id", string(f.GroupID))
	dst = appendText(dst, "content", f.Content)
	dst = appendNumber(dst, "message_id_by_client", int64(f.MessageIDByClient))
	dst = appendOptionalNumber(dst, "timestamp", int64(f.Timestamp))
	return appendOptionalText(dst, "reply_to", string(f.ReplyTo))
}

func (f *DeliveredAck) size() int {
	return textRoom + numberRoom + len("message_id"+"timestamp") + len(f.MessageID)
}

func (f *DeliveredAck) appendMembers(dst []byte) []byte {
	dst = appendText(dst, "message_id", string(f.MessageID))
	return appendOptionalNumber(dst, "timestamp", int64(f.Timestamp))
}

func (f *Ack) size() int { return textRoom + len("cursor") + len(f.Cursor) }

func (f *Ack) appendMembers(dst []byte) []byte {
	return appendText(dst, "cursor", string(f.Cursor))
}

// size counts only the members that are set, because each target device keeps the bytes of an
// entry in memory for a while.
func (m *Message) size() int {
	n := 3*textRoom + numberRoom + len("message_id"+"sender_id"+"content"+"timestamp") +
		len(m.MessageID) + len(m.SenderID) + len(m.Content)
	n += optionalRoom("receiver_id", string(m.ReceiverID)) + optionalRoom("group_id", string(m.GroupID))
	n += optionalRoom("reply_to", string(m.ReplyTo)) + optionalRoom("sender_device_id", string(m.SenderDeviceID))
	if m.MessageIDByClient != 0 {
		n += numberRoom + len("message_id_by_client")
	}
	n += optionalRoom("change", string(m.Change)) + optionalRoom("target_message_id", string(m.TargetMessageID))
	if m.ExpiresAt != 0 {
		n += numberRoom + len("expires_at")
	}
	return n
}

func (m *Message) appendMembers(dst []byte) []byte {
	dst = appendText(dst, "message_id", string(m.MessageID))
	dst = appendText(dst, "sender_id", string(m.SenderID))
	dst = appendOptionalText(dst, "receiver_id", string(m.ReceiverID))
	dst = appendOptionalText(dst, "group_id", string(m.GroupID))
	dst = appendText(dst, "content", m.Content)
	dst = appendNumber(dst, "timestamp", int64(m.Timestamp))
	dst = appendOptionalText(dst, "reply_to", string(m.ReplyTo))
	dst = appendOptionalText(dst, "sender_device_id", string(m.SenderDeviceID))
	dst = appendOptionalNumber(dst, "message_id_by_client", int64(m.MessageIDByClient))
	dst = appendOptionalText(dst, "change", string(m.Change))
	dst = appendOptionalText(dst, "target_message_id", string(m.TargetMessageID))
	return appendOptionalNumber(dst, "expires_at", int64(m.ExpiresAt))
}

func (r SendRecord) size() int {
	n := 2*textRoom + numberRoom + len("message_id_by_client"+"message_id"+"content_hash") +
		len(r.MessageID) + len(r.ContentHash)
	if r.Highest != 0 {
		n += numberRoom + len("highest_message_id_by_client")
	}
	if r.InboxFrom != 0 {
		n += numberRoom + len("inbox_from")
	}
	if r.ExpiresAt != 0 {
		n += numberRoom + len("expires_at")
	}
	return n + optionalRoom("blocked_by", string(r.BlockedBy))
}

func (r SendRecord) appendMembers(dst []byte) []byte {
	dst = appendNumber(dst, "message_id_by_client", int64(r.MessageIDByClient))
	dst = appendText(dst, "message_id", string(r.MessageID))
	dst = appendText(dst, "content_hash", string(r.ContentHash))
	dst = appendOptionalNumber(dst, "highest_message_id_by_client", int64(r.Highest))
	dst = appendOptionalNumber(dst, "inbox_from", int64(r.InboxFrom))
	dst = appendOptionalText(dst, "blocked_by", string(r.BlockedBy))
	return appendOptionalNumber(dst, "expires_at", int64(r.ExpiresAt))
}

func (w Watermark) size() int {
	return optionalRoom("delivered_up_to", string(w.DeliveredUpTo)) + optionalRoom("read_up_to", string(w.ReadUpTo))
}

func (w Watermark) appendMembers(dst []byte) []byte {
	dst = appendOptionalText(dst, "delivered_up_to", string(w.DeliveredUpTo))
	return appendOptionalText(dst, "read_up_to", string(w.ReadUpTo))
}
