package schemas

import (
	"errors"
	"fmt"
)

// Code is an error for machines. The list is append-only: clients switch on it.
type Code string

// Codes of WebSocket error frames and of HTTP answers.
const (
	CodeBadFrame        Code = "bad_frame"              // not one JSON object
	CodeUnknownType     Code = "unknown_type"           // no such frame type, or not offered here
	CodeInvalidArgument Code = "invalid_argument"       // the message names the field
	CodeContentTooLong  Code = "content_too_long"       // over MaxContentRunes
	CodeUnknownReceiver Code = "unknown_receiver"       // no such user; nothing was stored
	CodeNotAMember      Code = "not_a_member"           // of that group
	CodeRateLimited     Code = "rate_limited"           // wait retry_after_ms
	CodeConflict        Code = "conflict"               // that message_id_by_client has another content, or that name is taken
	CodeInboxFull       Code = "inbox_full"             // a receiving device holds all it may
	CodeUnavailable     Code = "unavailable"            // not durable in time: send the same id again
	CodeInternal        Code = "internal"               // a fault of the server, logged there
	CodeUnauthenticated Code = "unauthenticated"        // no valid token
	CodeForbidden       Code = "forbidden"              // a valid token, but not yours to do
	CodeNotFound        Code = "not_found"              // HTTP: no such thing
	CodeDeviceLimit     Code = "device_limit"           // HTTP and hello: remove a device first
	CodeBlockLimit      Code = "block_limit"            // HTTP: unblock somebody first
	CodeDeviceRemoved   Code = "device_removed"         // hello with a device that was removed
	CodeMethodNotAllow  Code = "method_not_allowed"     // HTTP
	CodeReplaced        Code = "replaced"               // a newer connection of the device took over
	CodeGroupFull       Code = "group_full"             // HTTP: the group has as many members as it may
	CodeHistoryOff      Code = "history_off"            // HTTP: the group keeps no history
	CodeTooLate         Code = "too_late"               // to edit or delete that message
	CodeUnsupportedType Code = "unsupported_media_type" // HTTP: the body's Content-Type is not application/json
	CodeChatLimit       Code = "chat_limit"             // HTTP: too many chats have settings
)

// Error is what a client is told: a code for its program, a sentence for its
// author, and where one fits the field that was wrong. Cause is for the log of
// the server and never leaves it.
type Error struct {
	Code         Code
	Message      string
	Field        string
	RetryAfterMS int64
	Cause        error
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// InvalidField is [CodeInvalidArgument] about one field; the sentence starts
// with the field's name.
func InvalidField(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalidArgument, Field: field, Message: field + ": " + fmt.Sprintf(format, args...)}
}

// Internal hides err, which only the log shall see.
func Internal(err error) *Error {
	return &Error{Code: CodeInternal, Message: "The server failed; its log says why. Try again later.", Cause: err}
}

// Unavailable says that err kept something from being durable in time.
func Unavailable(err error) *Error {
	return &Error{Code: CodeUnavailable, Message: "Not stored in time. Send the same message_id_by_client again.", RetryAfterMS: 1000, Cause: err}
}

// AsError finds the Error in err's chain; any other error becomes [Internal].
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Internal(err)
}

// CloseCode is a WebSocket close status of Roost; see [CloseCode.Retryable] for
// what a client does next.
type CloseCode int

// Close codes that the server sends.
const (
	CloseBadWebSocket    CloseCode = 1002 // the client broke RFC 6455
	CloseBadText         CloseCode = 1007 // text that is not UTF-8
	CloseFrameTooBig     CloseCode = 1009 // a frame over MaxFrameBytes
	CloseRestarting      CloseCode = 1012 // the server drains
	CloseProtocolError   CloseCode = 4000
	CloseUnauthenticated CloseCode = 4001
	CloseForbidden       CloseCode = 4003 // a device of another user
	CloseSlow            CloseCode = 4008 // not acknowledged or not read in time
	CloseHelloTimeout    CloseCode = 4009
	CloseRateLimited     CloseCode = 4029
	CloseReplaced        CloseCode = 4409 // a newer connection of the device
	CloseDeviceRemoved   CloseCode = 4410
)

// Retryable says whether a client may connect again unchanged, after a jittered
// back-off: not after 4000 to 4399 except CloseSlow. A replaced device would only
// fight its newer connection, and a removed one has to register anew, so those
// two are not retryable either.
func (c CloseCode) Retryable() bool {
	switch {
	case c == CloseSlow:
		return true
	case c == CloseReplaced, c == CloseDeviceRemoved:
		return false
	}
	return c < 4000 || c > 4399
}
