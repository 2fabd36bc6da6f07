package schemas

import (
	"bytes"
	"fmt"
)

// Message is a message or an update, as history keeps it and as the subscribers of msg.…
// receive it. An update changes another message and takes the same way as a message.
type Message struct {
	MessageID         MessageID       `json:"message_id"`
	SenderID          UserID          `json:"sender_id"`
	ReceiverID        UserID          `json:"receiver_id,omitempty"` // this or
	GroupID           GroupID         `json:"group_id,omitempty"`    // this
	Content           string          `json:"content"`               // of an update it may be empty, see [MessageChange]
	Timestamp         Timestamp       `json:"timestamp"`             // the time at which the server accepted it
	ReplyTo           MessageID       `json:"reply_to,omitempty"`
	SenderDeviceID    DeviceID        `json:"sender_device_id,omitempty"`
	MessageIDByClient ClientMessageID `json:"message_id_by_client,omitempty"`
	Change            MessageChange   `json:"change,omitempty"`            // only in updates
	TargetMessageID   MessageID       `json:"target_message_id,omitempty"` // only in updates: the message that it changes
	ExpiresAt         Timestamp       `json:"expires_at,omitempty"`        // the time at which it disappears; 0: never
}

// To returns the receiver: a user or a group.
func (m *Message) To() Participant { return Participant{User: m.ReceiverID, Group: m.GroupID} }

// IsUpdate reports whether it changes another message.
func (m *Message) IsUpdate() bool { return m.Change != "" }

// Expired reports whether it has disappeared at the time now.
func (m *Message) Expired(now Timestamp) bool { return m.ExpiresAt != 0 && m.ExpiresAt <= now }

// Chat returns the chat of the message.
func (m *Message) Chat() ChatID {
	return ChatWith(m.SenderID, m.To())
}

// Encode encodes the message as JSON, the form in stream MESSAGES.
func (m *Message) Encode() []byte { return appendObject(m) }

// DecodeMessage reads the output of [Message.Encode] and checks that history can store the
// message: its ids are valid, and it has content. The mirror terminates a message for which
// DecodeMessage fails.
func DecodeMessage(data []byte) (Message, error) {
	s := scanner{rest: data}
	var m Message
	if m.scan(&s); !s.done() {
		var err error
		if m, err = decodeAny[Message](data); err != nil {
			return Message{}, fmt.Errorf("the message is not JSON of the schema: %w", err)
		}
	}
	if _, err := ParseMessageID(string(m.MessageID)); err != nil {
		return Message{}, err
	}
	if _, err := ParseUserID(string(m.SenderID)); err != nil {
		return Message{}, err
	}
	if e := validateTarget(m.ReceiverID, m.GroupID); e != nil {
		return Message{}, e
	}
	if m.IsUpdate() {
		if e := validateUpdate(m.Change, m.TargetMessageID, m.Content); e != nil {
			return Message{}, e
		}
	} else if m.Content == "" {
		return Message{}, fmt.Errorf("the message has no content")
	}
	if m.Timestamp <= 0 {
		return Message{}, fmt.Errorf("the message has no timestamp")
	}
	return m, nil
}

// StoredMessage returns the inbox entry of the message: its incoming_message or message_update
// frame without the cursor. So the server encodes the bytes once for all devices, and
// [AppendCursor] completes the frame of each.
func (m *Message) StoredMessage() []byte {
	if m.IsUpdate() {
		return appendFrame(TypeMessageUpdate, m)
	}
	return appendFrame(TypeIncomingMessage, m)
}

// AppendCursor appends to dst the frame of an inbox entry for a device: the entry with its
// cursor. The server creates both, so the entry is an object with members, and the cursor
// needs no escapes.
func AppendCursor(dst, entry []byte, cursor Cursor) []byte {
	dst = append(dst, entry[:len(entry)-1]...)
	dst = append(dst, `,"cursor":"`...)
	dst = append(dst, cursor...)
	return append(dst, `"}`...)
}

// EntryHead has the fields of an inbox entry that a gateway reads to deliver it.
type EntryHead struct {
	Type      FrameType `json:"type"`
	MessageID MessageID `json:"message_id"`
	SenderID  UserID    `json:"sender_id"`
	GroupID   GroupID   `json:"group_id"`
	ExpiresAt Timestamp `json:"expires_at"`
}

// IsSend reports whether a user sent the entry: it is a message or an update.
func (h *EntryHead) IsSend() bool {
	return h.Type == TypeIncomingMessage || h.Type == TypeMessageUpdate
}

// DecodeEntryHead reads the head of an inbox entry.
func DecodeEntryHead(entry []byte) (EntryHead, error) {
	s := scanner{rest: entry}
	var h EntryHead
	if h.scan(&s); !s.done() {
		var err error
		if h, err = decodeAny[EntryHead](entry); err != nil {
			return h, fmt.Errorf("the inbox entry is not JSON of the schema: %w", err)
		}
	}
	if h.MessageID == "" || !bytes.HasPrefix(entry, []byte("{")) || !bytes.HasSuffix(entry, []byte("}")) {
		return h, fmt.Errorf("the inbox entry has no message_id")
	}
	return h, nil
}
