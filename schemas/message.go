package schemas

import (
	"bytes"
	"fmt"
)

// Message is one message as history keeps it and as subscribers of msg.… see it, or
// an update: a change of another message, which travels as a message does.
type Message struct {
	MessageID         MessageID       `json:"message_id"`
	SenderID          UserID          `json:"sender_id"`
	ReceiverID        UserID          `json:"receiver_id,omitempty"` // this or
	GroupID           GroupID         `json:"group_id,omitempty"`    // this
	Content           string          `json:"content"`               // of an update perhaps empty, see [MessageChange]
	Timestamp         Timestamp       `json:"timestamp"`             // when the server accepted it
	ReplyTo           MessageID       `json:"reply_to,omitempty"`
	SenderDeviceID    DeviceID        `json:"sender_device_id,omitempty"`
	MessageIDByClient ClientMessageID `json:"message_id_by_client,omitempty"`
	Change            MessageChange   `json:"change,omitempty"`            // of an update, what it does
	TargetMessageID   MessageID       `json:"target_message_id,omitempty"` // and to which message
	ExpiresAt         Timestamp       `json:"expires_at,omitempty"`        // when it disappears, if at all
}

// To is whom it is for.
func (m *Message) To() Participant { return Participant{User: m.ReceiverID, Group: m.GroupID} }

// IsUpdate says whether it changes another message.
func (m *Message) IsUpdate() bool { return m.Change != "" }

// Expired says whether it has disappeared at the time now.
func (m *Message) Expired(now Timestamp) bool { return m.ExpiresAt != 0 && m.ExpiresAt <= now }

// Chat is the chat that the message belongs to.
func (m *Message) Chat() ChatID {
	return ChatWith(m.SenderID, m.To())
}

// Encode writes the message as JSON, the form in stream MESSAGES.
func (m *Message) Encode() []byte { return appendObject(m) }

// DecodeMessage reads what [Message.Encode] wrote and checks that it can be
// stored: ids parse, content is there. It is the mirror's judge of poison.
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

// StoredMessage is an inbox entry: an incoming_message or message_update frame
// without its cursor, so that the bytes are built once for all devices and a frame is
// a copy and a suffix. See [AppendCursor].
func (m *Message) StoredMessage() []byte {
	if m.IsUpdate() {
		return appendFrame(TypeMessageUpdate, m)
	}
	return appendFrame(TypeIncomingMessage, m)
}

// AppendCursor appends to dst the frame that an inbox entry becomes for a
// device: the entry and the position that it has in that device's inbox. The
// server made both, so the entry is an object with members and the cursor needs
// no escaping.
func AppendCursor(dst, entry []byte, cursor Cursor) []byte {
	dst = append(dst, entry[:len(entry)-1]...)
	dst = append(dst, `,"cursor":"`...)
	dst = append(dst, cursor...)
	return append(dst, `"}`...)
}

// EntryHead is what a gateway needs to know of an inbox entry that it delivers.
type EntryHead struct {
	Type      FrameType `json:"type"`
	MessageID MessageID `json:"message_id"`
	SenderID  UserID    `json:"sender_id"`
	GroupID   GroupID   `json:"group_id"`
	ExpiresAt Timestamp `json:"expires_at"`
}

// IsSend says whether somebody sent it: it is a message or an update.
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
