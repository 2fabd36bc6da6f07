package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// typed is what the encoder needs of a frame.
type typed interface{ Type() FrameType }

// EncodeFrame writes a frame, of either side, as one JSON object that starts
// with its type.
func EncodeFrame(f typed) []byte {
	body := marshal(f)
	out := make([]byte, 0, len(body)+len(f.Type())+12)
	out = append(out, `{"type":"`...)
	out = append(out, f.Type()...)
	out = append(out, '"')
	if len(body) > 2 {
		out = append(out, ',')
	}
	return append(out, body[1:]...)
}

// marshal is json.Marshal without the escaping of <, > and & that only HTML
// needs. The types of this package always marshal, so a failure is a bug.
func marshal(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("schemas: %T does not marshal: %v", v, err))
	}
	return bytes.TrimRight(buf.Bytes(), "\n")
}

var newClientFrame = map[FrameType]func() ClientFrame{
	TypeHello:             func() ClientFrame { return new(Hello) },
	TypeSendMessage:       func() ClientFrame { return new(SendMessage) },
	TypeMessageDelivered:  func() ClientFrame { return new(DeliveredAck) },
	TypeAck:               func() ClientFrame { return new(Ack) },
	TypeMessageRead:       func() ClientFrame { return new(Read) },
	TypeTyping:            func() ClientFrame { return new(TypingNotice) },
	TypePresenceSubscribe: func() ClientFrame { return new(PresenceSubscribe) },
	TypeHeartbeat:         func() ClientFrame { return new(Heartbeat) },
}

var newServerFrame = map[FrameType]func() ServerFrame{
	TypeWelcome:          func() ServerFrame { return new(Welcome) },
	TypeMessageReceived:  func() ServerFrame { return new(MessageReceived) },
	TypeIncomingMessage:  func() ServerFrame { return new(Incoming) },
	TypeInboxDrained:     func() ServerFrame { return new(InboxDrained) },
	TypeMessageDelivered: func() ServerFrame { return new(Delivered) },
	TypeMessageRead:      func() ServerFrame { return new(ReadBy) },
	TypeReceipts:         func() ServerFrame { return new(Receipts) },
	TypePresence:         func() ServerFrame { return new(Presence) },
	TypeTyping:           func() ServerFrame { return new(Typing) },
	TypeGroupUpdate:      func() ServerFrame { return new(GroupUpdate) },
	TypeError:            func() ServerFrame { return new(ErrorFrame) },
	TypeReconnect:        func() ServerFrame { return new(Reconnect) },
}

// DecodeClientFrame reads and checks one frame of a client. Fields that the
// frame does not have are ignored. The error names the field that is wrong;
// where the frame got far enough to be a send, the second result is its
// message_id_by_client, so that the answer can name it too.
func DecodeClientFrame(data []byte) (ClientFrame, ClientMessageID, *Error) {
	if !utf8.Valid(data) {
		return nil, 0, invalidUTF8(data)
	}
	typ, e := frameType(data)
	if e != nil {
		return nil, 0, e
	}
	construct, ok := newClientFrame[typ]
	if !ok {
		return nil, 0, Errorf(CodeUnknownType, "type: there is no frame of type %q.", clip(string(typ)))
	}
	frame := construct()
	if err := json.Unmarshal(data, frame); err != nil {
		return nil, sendNumber(data), fieldError(err)
	}
	if e := frame.validate(); e != nil {
		return nil, sendNumber(data), e
	}
	return frame, 0, nil
}

// DecodeServerFrame reads one frame of the server. A type that this version
// does not know is an error with [CodeUnknownType], for clients to skip.
func DecodeServerFrame(data []byte) (ServerFrame, error) {
	typ, e := frameType(data)
	if e != nil {
		return nil, e
	}
	construct, ok := newServerFrame[typ]
	if !ok {
		return nil, Errorf(CodeUnknownType, "type: there is no frame of type %q.", clip(string(typ)))
	}
	frame := construct()
	if err := json.Unmarshal(data, frame); err != nil {
		return nil, fieldError(err)
	}
	return frame, nil
}

func frameType(data []byte) (FrameType, *Error) {
	var head struct {
		Type   *FrameType `json:"type"`
		Action *FrameType `json:"action"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return "", fieldError(err)
	}
	switch {
	case head.Type != nil && *head.Type != "":
		return *head.Type, nil
	case head.Action != nil && *head.Action != "":
		return *head.Action, nil
	}
	return "", InvalidField("type", "is missing; every frame has one.")
}

// sendNumber finds the message_id_by_client of a frame that is wrong elsewhere.
func sendNumber(data []byte) ClientMessageID {
	var send struct {
		Type, Action      FrameType
		MessageIDByClient ClientMessageID `json:"message_id_by_client"`
	}
	_ = json.Unmarshal(data, &send) // what can be read is read, the rest stays zero
	if send.Type == TypeSendMessage || send.Action == TypeSendMessage {
		return max(send.MessageIDByClient, 0)
	}
	return 0
}

func fieldError(err error) *Error {
	var typeErr *json.UnmarshalTypeError
	if errors.As(err, &typeErr) {
		if typeErr.Field == "" {
			return Errorf(CodeBadFrame, "A frame is one JSON object, this is a JSON %s.", typeErr.Value)
		}
		return InvalidField(typeErr.Field, "has the wrong type or range: %s.", typeErr.Value)
	}
	return &Error{Code: CodeBadFrame, Message: "The frame is not valid JSON: " + err.Error() + ".", Cause: err}
}

// invalidUTF8 names the first field whose text is broken, where one can be told.
func invalidUTF8(data []byte) *Error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err == nil && t == json.Delim('{') {
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				break
			}
			var raw json.RawMessage
			if err := dec.Decode(&raw); err != nil {
				break
			}
			if name, ok := key.(string); ok && !utf8.Valid(raw) {
				return InvalidField(clip(name), "is not valid UTF-8.")
			}
		}
	}
	return Errorf(CodeBadFrame, "The frame is not valid UTF-8.")
}

// clip keeps what a client sent short enough to be repeated to it.
func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	for i := range s {
		if i > most {
			return s[:i] + "…"
		}
	}
	return s
}

// DecodeBody reads one JSON object of an HTTP request into v and refuses what
// follows it. Errors name the field.
func DecodeBody(r io.Reader, v any) *Error {
	data, err := io.ReadAll(r)
	if err != nil {
		return &Error{Code: CodeBadFrame, Message: "The request body could not be read, or is too big.", Cause: err}
	}
	if !utf8.Valid(data) {
		return invalidUTF8(data)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fieldError(err)
	}
	return nil
}
