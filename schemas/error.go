package schemas

import (
	"errors"
	"fmt"
)

// Code is an error for machines. The list is append-only: clients switch on it.
type Code string

// Codes of WebSocket error frames and of HTTP answers.
const (
	CodeBadFrame        Code = "bad_frame"              // the frame is not one JSON object
	CodeUnknownType     Code = "unknown_type"           // the frame type does not exist, or is not allowed here
	CodeInvalidArgument Code = "invalid_argument"       // the message names the field
	CodeContentTooLong  Code = "content_too_long"       // over MaxContentRunes
	CodeUnknownReceiver Code = "unknown_receiver"       // the user does not exist; nothing was stored
	CodeNotAMember      Code = "not_a_member"           // the user is not a member of the group
	CodeRateLimited     Code = "rate_limited"           // retry after retry_after_ms
	CodeConflict        Code = "conflict"               // the message_id_by_client was used for another send, or the name is taken
	CodeInboxFull       Code = "inbox_full"             // the inbox of a receiving device is full
	CodeUnavailable     Code = "unavailable"            // not durable in time: retry with the same message_id_by_client
	CodeInternal        Code = "internal"               // a fault of the server, which logs it
	CodeUnauthenticated Code = "unauthenticated"        // the token is missing or not valid
	CodeForbidden       Code = "forbidden"              // the token is valid, but the user may not do this
	CodeNotFound        Code = "not_found"              // HTTP: the path, or what it names, does not exist
	CodeDeviceLimit     Code = "device_limit"           // HTTP and hello: remove a device first
	CodeBlockLimit      Code = "block_limit"            // HTTP: unblock a user first
	CodeDeviceRemoved   Code = "device_removed"         // hello of a removed device
	CodeMethodNotAllow  Code = "method_not_allowed"     // HTTP
	CodeReplaced        Code = "replaced"               // a newer connection of the device replaces this one
	CodeGroupFull       Code = "group_full"             // HTTP: the group has the maximum of members
	CodeHistoryOff      Code = "history_off"            // HTTP: the group keeps no history
	CodeTooLate         Code = "too_late"               // the message is too old to be edited or deleted
	CodeUnsupportedType Code = "unsupported_media_type" // HTTP: the body's Content-Type is not application/json
	CodeChatLimit       Code = "chat_limit"             // HTTP: too many chats have settings
)

// Error is an error for a client: a code for the program, a sentence for its developer, and
// the name of the wrong field, if there is one. The server logs Cause and never sends it.
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

// Errorf returns an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// InvalidField returns an error of one field, with [CodeInvalidArgument]. Its sentence starts
// with the name of the field.
func InvalidField(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalidArgument, Field: field, Message: field + ": " + fmt.Sprintf(format, args...)}
}

// Internal returns an error that hides err from the client.
func Internal(err error) *Error {
	return &Error{Code: CodeInternal, Message: "The server failed. Its log has the reason. Try again later.", Cause: err}
}

// Unavailable returns the error of a write that err prevented from being durable in time.
func Unavailable(err error) *Error {
	return &Error{Code: CodeUnavailable, Message: "Not stored in time. Send the same message_id_by_client again.", RetryAfterMS: 1000, Cause: err}
}

// AsError returns the Error in err's chain. Any other error becomes [Internal].
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Internal(err)
}

// CloseCode is a WebSocket close code of Roost. [CloseCode.Retryable] reports whether a client
// may reconnect.
type CloseCode int

// Close codes that the server sends.
const (
	CloseBadWebSocket    CloseCode = 1002 // the client violated RFC 6455
	CloseBadText         CloseCode = 1007 // a text frame is not UTF-8
	CloseFrameTooBig     CloseCode = 1009 // a frame exceeds MaxFrameBytes
	CloseRestarting      CloseCode = 1012 // the server drains
	CloseProtocolError   CloseCode = 4000
	CloseUnauthenticated CloseCode = 4001
	CloseForbidden       CloseCode = 4003 // a device of another user
	CloseSlow            CloseCode = 4008 // the client did not read or acknowledge in time
	CloseHelloTimeout    CloseCode = 4009
	CloseRateLimited     CloseCode = 4029
	CloseReplaced        CloseCode = 4409 // a newer connection of the device
	CloseDeviceRemoved   CloseCode = 4410
)

// Retryable reports whether a client may reconnect unchanged, after a back-off with jitter. It
// may not after 4000 to 4399, except after CloseSlow. It also may not after CloseReplaced,
// because it would replace the newer connection in turn, nor after CloseDeviceRemoved, because
// it must register a new device.
func (c CloseCode) Retryable() bool {
	switch {
	case c == CloseSlow:
		return true
	case c == CloseReplaced, c == CloseDeviceRemoved:
		return false
	}
	return c < 4000 || c > 4399
}
