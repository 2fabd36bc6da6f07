package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// typed is what the encoder needs of a frame.
type typed interface{ Type() FrameType }

// EncodeFrame writes a frame, of either side, as one JSON object that starts
// with its type.
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

// marshal writes v as one JSON object, or whatever v is.
func marshal(v any) []byte {
	if a, ok := v.(appended); ok {
		return appendObject(a)
	}
	return marshalAny(v)
}

// marshalAny is json.Marshal without the escaping of <, > and & that only HTML
// needs. The types of this package always marshal, so a failure is a bug.
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

// clientFieldNames are the names that each client frame knows.
var clientFieldNames = func() map[FrameType][]string {
	names := make(map[FrameType][]string, len(newClientFrame))
	for typ, construct := range newClientFrame {
		names[typ] = append(fieldNames(construct()), "type", "action")
	}
	return names
}()

// DecodeClientFrame reads and checks one frame of a client. Fields that the
// frame does not have are ignored; an optional field that is null or "" is
// absent; a known name that stands there twice or in another case is refused, as
// is text that is not Unicode. The error names the field that is wrong; where
// the frame is a send, the second result is its message_id_by_client, so that
// the answer can name it too.
func DecodeClientFrame(data []byte) (ClientFrame, ClientMessageID, *Error) {
	if f := scanClientFrame(data); f != nil {
		return f, 0, nil
	}
	return decodeClientFrame(data)
}

// decodeClientFrame is DecodeClientFrame for every frame.
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

// DecodeServerFrame reads one frame of the server. A type that this version
// does not know is an error with [CodeUnknownType], for clients to skip.
func DecodeServerFrame(data []byte) (ServerFrame, error) {
	if f := scanServerFrame(data); f != nil {
		return f, nil
	}
	return decodeServerFrame(data)
}

// decodeServerFrame is DecodeServerFrame for every frame.
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
	return Errorf(CodeUnknownType, "type: there is no frame of type %q.", clip(string(typ)))
}

// frameType reads "type" or "action". Where both stand there, they agree.
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
			return "", InvalidField(string(name), "is %q, but the frame is named %q as well.", clip(string(t)), clip(string(typ)))
		}
		typ = t
	}
	if typ == "" {
		return "", InvalidField("type", "is missing; every frame has one.")
	}
	return typ, nil
}

// sendNumber finds the message_id_by_client of a send that is wrong elsewhere;
// 0 where there is none that a send may have.
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

// NamesHello says whether what a client sent names itself hello, whatever else is wrong with it.
func NamesHello(data []byte) bool {
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

// fieldError is about JSON that passed checkObject, so what is wrong is the type
// of a value.
func fieldError(err error) *Error {
	var typeErr *json.UnmarshalTypeError
	if errors.As(err, &typeErr) && typeErr.Field != "" {
		return InvalidField(typeErr.Field, "has the wrong type or range: %s.", clip(typeErr.Value))
	}
	return &Error{Code: CodeBadFrame, Message: "Not JSON of the expected form: " + clip(err.Error()) + ".", Cause: err}
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
// follows it. It is as strict as [DecodeClientFrame], and its errors name the
// field too.
func DecodeBody(r io.Reader, v any) *Error {
	data, err := io.ReadAll(r)
	if err != nil {
		return &Error{Code: CodeBadFrame, Message: "The request body could not be read, or is too big.", Cause: err}
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
