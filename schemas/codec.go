package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// typed is a frame for the encoder.
type typed interface{ Type() FrameType }

// EncodeFrame encodes a frame of a client or server as one JSON object that starts with its
// type.
func EncodeFrame(f typed) []byte {
	if a, ok := f.(appended); ok {
		return appendFrame(f.Type(), a)
	}
	body := marshalAny(f)
	out := make([]byte, 0, len(body)+len(f.Type())+12)
	out = append(out, `{"type":"`...)
	out = append(out, f.Type()...)
	out = append(out, '"')
	if len(body) > 2 {
		out = append(out, ',')
	}
	return append(out, body[1:]...)
}

// marshal encodes v as JSON.
func marshal(v any) []byte {
	if a, ok := v.(appended); ok {
		return appendObject(a)
	}
	return marshalAny(v)
}

// marshalAny is json.Marshal without the escapes of <, > and &, which only HTML needs. The
// types of this package always marshal, so a failure is a bug.
func marshalAny(v any) []byte {
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
	TypeUpdateMessage:     func() ClientFrame { return new(UpdateMessage) },
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
	TypeMessageUpdate:    func() ServerFrame { return new(MessageUpdate) },
	TypeInboxDrained:     func() ServerFrame { return new(InboxDrained) },
	TypeMessageDelivered: func() ServerFrame { return new(Delivered) },
	TypeMessageRead:      func() ServerFrame { return new(ReadBy) },
	TypeReceipts:         func() ServerFrame { return new(Receipts) },
	TypePresence:         func() ServerFrame { return new(Presence) },
	TypeTyping:           func() ServerFrame { return new(Typing) },
	TypeGroupUpdate:      func() ServerFrame { return new(GroupUpdate) },
	TypeChatUpdate:       func() ServerFrame { return new(ChatUpdate) },
	TypeUserDeleted:      func() ServerFrame { return new(UserDeleted) },
	TypeWakeUp:           func() ServerFrame { return new(WakeUp) },
	TypeHeartbeat:        func() ServerFrame { return new(Alive) },
	TypeError:            func() ServerFrame { return new(ErrorFrame) },
	TypeReconnect:        func() ServerFrame { return new(Reconnect) },
}

// clientFieldNames has the field names of each client frame.
var clientFieldNames = func() map[FrameType][]string {
	names := make(map[FrameType][]string, len(newClientFrame))
	for typ, construct := range newClientFrame {
		names[typ] = append(fieldNames(construct()), "type", "action")
	}
	return names
}()

// DecodeClientFrame decodes and validates one frame of a client. It ignores unknown fields,
// and treats an optional field that is null or "" as absent. It refuses a known name that is
// repeated or in another case, and text that is not Unicode. The error names the wrong field.
// If the refused frame is a send, the second result is its message_id_by_client, for the
// error frame.
func DecodeClientFrame(data []byte) (ClientFrame, ClientMessageID, *Error) {
	if f := scanClientFrame(data); f != nil {
		return f, 0, nil
	}
	return decodeClientFrame(data)
}

// decodeClientFrame decodes any frame of a client, by reflection.
func decodeClientFrame(data []byte) (ClientFrame, ClientMessageID, *Error) {
	if e := checkObject(data); e != nil {
		return nil, sendNumber(data), e
	}
	typ, e := frameType(data)
	if e != nil {
		return nil, 0, e
	}
	construct, ok := newClientFrame[typ]
	if !ok {
		return nil, 0, unknownType(typ)
	}
	if e := checkNames(data, clientFieldNames[typ]); e != nil {
		return nil, sendNumber(data), e
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

// DecodeServerFrame decodes one frame of the server. An unknown type is an error with
// [CodeUnknownType]: clients skip such a frame.
func DecodeServerFrame(data []byte) (ServerFrame, error) {
	if f := scanServerFrame(data); f != nil {
		return f, nil
	}
	return decodeServerFrame(data)
}

// decodeServerFrame decodes any frame of the server, by reflection.
func decodeServerFrame(data []byte) (ServerFrame, error) {
	if e := checkObject(data); e != nil {
		return nil, e
	}
	typ, e := frameType(data)
	if e != nil {
		return nil, e
	}
	construct, ok := newServerFrame[typ]
	if !ok {
		return nil, unknownType(typ)
	}
	frame := construct()
	if err := json.Unmarshal(data, frame); err != nil {
		return nil, fieldError(err)
	}
	return frame, nil
}

func unknownType(typ FrameType) *Error {
	return Errorf(CodeUnknownType, "type: no frame has the type %q.", clip(string(typ)))
}

// frameType reads "type" or "action". If both are present, they must be equal.
func frameType(data []byte) (FrameType, *Error) {
	var typ FrameType
	for name, value := range members(data) {
		if string(name) != "type" && string(name) != "action" {
			continue
		}
		var t FrameType
		if err := json.Unmarshal(value, &t); err != nil || t == "" {
			return "", InvalidField(string(name), "is not the name of a frame.")
		}
		if typ != "" && t != typ {
			return "", InvalidField(string(name), "is %q, but the frame also has the type %q.", clip(string(t)), clip(string(typ)))
		}
		typ = t
	}
	if typ == "" {
		return "", InvalidField("type", "is missing. Every frame needs one.")
	}
	return typ, nil
}

// sendNumber returns the message_id_by_client of a refused send, or 0 if it has no valid one.
func sendNumber(data []byte) ClientMessageID {
	if !json.Valid(data) || trimSpace(data)[0] != '{' {
		return 0
	}
	var number ClientMessageID
	isSend := false
	for name, value := range members(data) {
		switch string(name) {
		case "type", "action":
			var typ FrameType
			isSend = isSend || json.Unmarshal(value, &typ) == nil && (typ == TypeSendMessage || typ == TypeUpdateMessage)
		case "message_id_by_client":
			if json.Unmarshal(value, &number) != nil {
				return 0
			}
		}
	}
	if !isSend || number > MaxNumber {
		return 0
	}
	return max(number, 0)
}

// IsHello reports whether a frame has the type hello, even if the rest of it is invalid.
func IsHello(data []byte) bool {
	if !json.Valid(data) || trimSpace(data)[0] != '{' {
		return false
	}
	for name, value := range members(data) {
		var typ FrameType
		if (string(name) == "type" || string(name) == "action") && json.Unmarshal(value, &typ) == nil && typ == TypeHello {
			return true
		}
	}
	return false
}

// fieldError explains an error of JSON that passed checkObject: a value has the wrong type.
func fieldError(err error) *Error {
	var typeErr *json.UnmarshalTypeError
	if errors.As(err, &typeErr) && typeErr.Field != "" {
		return InvalidField(typeErr.Field, "has the wrong type or range: %s.", clip(typeErr.Value))
	}
	return &Error{Code: CodeBadFrame, Message: "Not JSON of the expected form: " + clip(err.Error()) + ".", Cause: err}
}

// clip shortens text of a client for an error sentence.
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

// DecodeBody decodes one JSON object of an HTTP request into v, and refuses further input. It
// is as strict as [DecodeClientFrame], and its errors also name the field.
func DecodeBody(r io.Reader, v any) *Error {
	data, err := io.ReadAll(r)
	if err != nil {
		return &Error{Code: CodeBadFrame, Message: "The request body is incomplete or too large.", Cause: err}
	}
	if e := checkObject(data); e != nil {
		return e
	}
	if e := checkNames(data, fieldNames(v)); e != nil {
		return e
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fieldError(err)
	}
	return nil
}
